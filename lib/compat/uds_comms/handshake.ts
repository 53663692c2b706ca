import { type Channel, coreOf } from '../../channel/channel.js'
import { describeValue } from '../../util/checks.js'
import { errorCode, FdwireError, timeoutError } from '../../util/errors.js'
import type { Deadline } from '../../util/wait.js'
import type { Message } from '../../wire/message.js'

const READY = 'READY'
const OK = 'OK'

/** The most characters of an unexpected answer that the error shows. */
const MAX_SHOWN = 32

/** The limits of an operation that consists of several waits. */
export interface Limits {
  /** When it times out. */
  deadline: Deadline
  /** Aborts it. */
  signal: AbortSignal | undefined
}

/**
 * Performs the client's half of the handshake: sends READY and expects OK as the first message.
 *
 * # Errors
 * ERR_FDWIRE_HANDSHAKE, ERR_FDWIRE_TIMEOUT, AbortError.
 */
export function clientHandshake(channel: Channel<string>, limits: Limits): Promise<void> {
  return asHandshake(limits, async () => {
    channel.send(READY)
    const answer = await coreOf(channel).receive<string>(nextWait(limits), true)
    if (answer === null) throw handshakeError('the server closed the connection before it sent OK')
    if (answer.value === OK) return
    const shown = describeValue(answer.value.slice(0, MAX_SHOWN))
    throw handshakeError(`the server sent ${shown} instead of OK`)
  })
}

/**
 * Performs the server's half of the handshake: waits for READY and sends OK. Drops other texts and
 * malformed frames that precede READY.
 *
 * # Errors
 * ERR_FDWIRE_HANDSHAKE, ERR_FDWIRE_TIMEOUT, AbortError.
 */
export function serverHandshake(channel: Channel<string>, limits: Limits): Promise<void> {
  return asHandshake(limits, async () => {
    let message: Message<string> | null
    do {
      message = await channel.receive(nextWait(limits))
      if (message === null) {
        throw handshakeError('the client closed the connection before it sent READY')
      }
    } while (message.value !== READY)
    channel.send(OK)
  })
}

/**
 * Returns the limits of the next wait. Checks the deadline itself: the timer of a wait never
 * expires if the peer sends without a pause.
 */
function nextWait({ deadline, signal }: Limits) {
  if (deadline.isOver) throw handshakeTimeout(deadline)
  return { timeout: deadline.remaining, signal }
}

/** Converts the errors of `work` to ERR_FDWIRE_HANDSHAKE, except timeouts and aborts. */
async function asHandshake({ deadline }: Limits, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const code = errorCode(error)
    if (code === 'ERR_FDWIRE_TIMEOUT') throw handshakeTimeout(deadline)
    if (code === 'ERR_FDWIRE_HANDSHAKE' || code === 'ABORT_ERR') throw error
    throw handshakeError((error as Error).message, error)
  }
}

function handshakeError(reason: string, cause?: unknown): FdwireError {
  const message = `The handshake has failed: ${reason}`
  return new FdwireError('ERR_FDWIRE_HANDSHAKE', message, cause === undefined ? {} : { cause })
}

function handshakeTimeout({ timeout }: Deadline): FdwireError {
  return timeoutError('The handshake did not complete', timeout)
}
