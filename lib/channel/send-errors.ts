/** The errors of messages that could not be sent. */

import { constants } from 'node:os'
import {
  BAD_ADDRESS,
  EVICTED,
  FDS_OUT,
  HAS_DELIMITER,
  NO_ROOM_FOR_FILE,
  QUEUE_FULL,
  TOO_LONG,
} from '#native'
import { isOpen } from '../fds/descriptors.js'
import type { ChannelHandle } from '../native/handle.js'
import { table } from '../native/memory.js'
import { type Address, checkAddress, printableAddress } from '../options/address.js'
import type { CheckedOptions, SocketType } from '../options/check.js'
import { peerHint } from '../options/peer-hints.js'
import { FdwireError, systemError } from '../util/errors.js'
import { unframeableError } from '../wire/errors.js'

const { EBADF, EMSGSIZE, EPERM } = constants.errno

/** A message that native code has refused, and its channel. */
export interface RefusedMessage {
  handle: ChannelHandle
  options: CheckedOptions
  /** Whether the channel has a peer. */
  isConnected: boolean
  /** The destination, on a channel without a peer. */
  to: Address | undefined
  /** The number of its descriptors, which are still in the shared table. */
  fds: number
  /** Returns its length in bytes. */
  length: () => number
}

/** Returns the error for a negative code that native code has returned for a message. */
export function sendError(code: number, message: RefusedMessage): Error {
  const { options, to, isConnected } = message
  switch (code) {
    case QUEUE_FULL: {
      const { maxQueued, maxQueuedFds } = options
      const queue = to === undefined ? 'The queue' : `The queue for ${printableAddress(to)}`
      const limits = `maxQueued: ${shown(maxQueued)} bytes, maxQueuedFds: ${shown(maxQueuedFds)}`
      return new FdwireError(
        'ERR_FDWIRE_QUEUE_FULL',
        `${queue} is full (${limits}): wait for 'drain' when send returns false`,
      )
    }
    case NO_ROOM_FOR_FILE:
      return new FdwireError(
        'ERR_FDWIRE_TOO_MANY_FDS',
        'The message is passed in a memfd because of its size: at most 252 other descriptors fit',
        { fault: 'caller' },
      )
    case HAS_DELIMITER:
    case TOO_LONG:
      return unframeableError(code, options.protocol)
  }
  if (code === BAD_ADDRESS && to !== undefined) checkAddress(to, 'to')
  if (to === undefined && !isConnected) {
    return systemError(code, 'sendmsg', {
      hint: 'the channel has no peer, so send needs the option to',
    })
  }
  return kernelError(code, message)
}

/**
 * Returns the error of a queued message that was not delivered. `errno` is 0 if it expired, and
 * `EVICTED` if the queues have reached `maxQueuedTotal`.
 */
export function undeliveredError(
  errno: number,
  to: Address | undefined,
  { sendTimeout, maxQueuedTotal, type }: CheckedOptions,
): Error {
  if (errno === EVICTED) {
    const message =
      `The queues of all destinations hold ${shown(maxQueuedTotal)} bytes (maxQueuedTotal), so the ` +
      'longest one has lost its oldest message'
    return new FdwireError('ERR_FDWIRE_UNDELIVERED', message, { fault: 'caller' })
  }
  if (errno !== 0) return systemError(errno, 'sendmsg', aboutDestination(errno, to, type))
  const what = to === undefined ? 'A message' : `A message to ${printableAddress(to)}`
  const message = `${what} was dropped after ${shown(sendTimeout)} ms in the queue (sendTimeout): its receiver does not read, or too slowly`
  return new FdwireError('ERR_FDWIRE_UNDELIVERED', message)
}

function kernelError(code: number, message: RefusedMessage): Error {
  const destination = aboutDestination(code, message.to, message.options.type)
  switch (-code) {
    case EMSGSIZE:
      return systemError(code, 'sendmsg', { ...destination, hint: sizeHint(message) })
    case EBADF: {
      const index = closedFd(message.fds)
      if (index < 0) break
      const hint = `fds[${index}] (descriptor ${table[FDS_OUT + index]}) is not open`
      return systemError(code, 'sendmsg', { ...destination, hint, index })
    }
    case EPERM: {
      const refusal = 'the receiver is connected to another socket'
      const hint =
        message.fds === 0 ? refusal : `the receiver takes no descriptors (maxFds: 0), or ${refusal}`
      return systemError(code, 'sendmsg', { ...destination, hint })
    }
  }
  return systemError(code, 'sendmsg', destination)
}

/** Explains which limit a message exceeds, and what to use instead. */
function sizeHint({ handle, options, length }: RefusedMessage): string {
  const { protocol, type } = options
  const limit = handle.largestMessage()
  const most = limit === null ? '' : ` (${shown(limit)} bytes)`
  const packet = type === 'dgram' ? 'datagram' : 'record'
  const instead =
    protocol === 'jsoncomm'
      ? 'set memfd: true at both ends, or a larger sendBufferSize'
      : 'set a larger sendBufferSize, pass the bytes in a memfd (createMemfd), or use a stream'
  return `a message of ${shown(length())} bytes exceeds the largest ${packet} of the socket's send buffer${most}: ${instead}`
}

/** Returns the index of the first descriptor of the message that is not open; -1 if all are. */
function closedFd(fds: number): number {
  return table.subarray(FDS_OUT, FDS_OUT + fds).findIndex(fd => !isOpen(fd))
}

/** Returns the destination of a message, and what it has to do with the error. */
function aboutDestination(
  errno: number,
  to: Address | undefined,
  type: SocketType,
): { dest?: string | Buffer; hint?: string | undefined } {
  if (to === undefined) return {}
  const dest = typeof to === 'string' ? to : Buffer.from(to)
  return { dest, hint: peerHint(errno, to, type) }
}

function shown(number: number): string {
  return number.toLocaleString('en-US')
}
