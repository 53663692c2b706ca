/** The errors of messages that native code refuses to deliver or to send. */

import { Deadline, HAS_DELIMITER, LossReason, RecordKind, RefusalReason } from '#native'
import type { CheckedOptions } from '../options/check.js'
import { type ErrorCode, FdwireError, systemError } from '../util/errors.js'
import type { ChannelEvent } from './turn.js'

interface Reason {
  code: ErrorCode
  /** The option that limits the message, which takes the place of `%`. */
  limit?: 'maxMessage' | 'maxFds'
  message: string
}

/** Why native code refused a received message. */
const REFUSALS: Record<RefusalReason, Reason> = {
  [RefusalReason.Empty]: { code: 'ERR_FDWIRE_EMPTY_MESSAGE', message: 'The message is empty' },
  [RefusalReason.NotUtf8]: { code: 'ERR_FDWIRE_NOT_UTF8', message: 'The message is not UTF-8' },
  [RefusalReason.NotBase64]: {
    code: 'ERR_FDWIRE_NOT_BASE64',
    message: 'The message is not base64 as the protocol encodes it',
  },
  [RefusalReason.CutOff]: {
    code: 'ERR_FDWIRE_FRAME_CUT_OFF',
    message: 'The frame ends where the next one begins',
  },
  [RefusalReason.BadEscape]: {
    code: 'ERR_FDWIRE_BAD_ESCAPE',
    message: 'The frame has an invalid escape sequence',
  },
  [RefusalReason.TooLarge]: {
    code: 'ERR_FDWIRE_MESSAGE_TOO_LARGE',
    limit: 'maxMessage',
    message: 'The message has more bytes than %',
  },
  [RefusalReason.TooManyFds]: {
    code: 'ERR_FDWIRE_TOO_MANY_FDS',
    limit: 'maxFds',
    message: 'The message has more descriptors than %',
  },
  [RefusalReason.FdsTruncated]: {
    code: 'ERR_FDWIRE_FDS_TRUNCATED',
    message: 'The kernel could not install all descriptors of the message (RLIMIT_NOFILE)',
  },
  [RefusalReason.NoMemoryFile]: {
    code: 'ERR_FDWIRE_NO_MEMFD',
    message: 'The first descriptor of the message is not a memfd, or its memfd changed meanwhile',
  },
}

/** Why the rest of a stream cannot be decoded. */
const LOSSES: Record<LossReason, Reason> = {
  [LossReason.TooLarge]: {
    code: 'ERR_FDWIRE_MESSAGE_TOO_LARGE',
    limit: 'maxMessage',
    message: 'A message has more bytes than %: the stream cannot continue',
  },
  [LossReason.BadHeader]: {
    code: 'ERR_FDWIRE_BAD_HEADER',
    message: 'Invalid frame header: the stream cannot be decoded any further',
  },
}

/** Returns the error of a received message that native code refused. */
export function refusalError(
  reason: RefusalReason,
  sample: Uint8Array | undefined,
  options: CheckedOptions,
): FdwireError {
  return errorOf(REFUSALS[reason], sample, options)
}

/** Returns the error of a stream that cannot be decoded any further. */
export function lossError(
  reason: LossReason,
  sample: Uint8Array | undefined,
  options: CheckedOptions,
): FdwireError {
  return errorOf(LOSSES[reason], sample, options)
}

function errorOf(
  { code, message, limit }: Reason,
  sample: Uint8Array | undefined,
  options: CheckedOptions,
): FdwireError {
  const text = limit === undefined ? message : message.replace('%', describeLimit(limit, options))
  const shown = options.redacted ? undefined : sample
  return new FdwireError(code, text, shown === undefined ? {} : { sample: shown })
}

function describeLimit(limit: 'maxMessage' | 'maxFds', options: CheckedOptions): string {
  return `${limit} allows (${options[limit].toLocaleString('en-US')})`
}

/**
 * Returns the error of a stream that ended inside a message, which lacks `missing` bytes or more.
 */
export function cutError(missing: number): FdwireError {
  const bytes = missing === 1 ? '1 byte is' : `${missing} bytes are`
  const message = `The stream ended inside a message: at least ${bytes} missing`
  return new FdwireError('ERR_FDWIRE_CUT_SHORT', message, { missing })
}

/** Returns the error of a connection whose deadline has passed. */
function deadlineError(
  passed: Deadline,
  { idleTimeout, messageTimeout }: CheckedOptions,
): FdwireError {
  if (passed === Deadline.Idle) {
    const message = `No byte moved in either direction for ${idleTimeout} ms (idleTimeout)`
    return new FdwireError('ERR_FDWIRE_IDLE_TIMEOUT', message)
  }
  const message = `A message did not end within ${messageTimeout} ms of its start (messageTimeout)`
  return new FdwireError('ERR_FDWIRE_MESSAGE_TIMEOUT', message)
}

/** Returns the error of an event that ends the input; undefined for an orderly end. */
export function endError(
  { kind, name, place, detail, sample }: ChannelEvent,
  options: CheckedOptions,
): Error | undefined {
  switch (kind) {
    case RecordKind.Failed:
      return systemError(place, String(name))
    case RecordKind.Cut:
      return cutError(place)
    case RecordKind.Lost:
      return lossError(detail, sample, options)
    case RecordKind.Late:
      return deadlineError(detail, options)
    default:
      return undefined
  }
}

/** Returns the error of a message that a protocol cannot frame, from the code of native code. */
export function unframeableError(code: number, protocol: string): FdwireError {
  const reason =
    code === HAS_DELIMITER
      ? 'it contains the delimiter (option delimiter)'
      : 'its length does not fit the header'
  const message = `${protocol} cannot carry the message: ${reason}`
  return new FdwireError('ERR_FDWIRE_UNENCODABLE', message)
}
