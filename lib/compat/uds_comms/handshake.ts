import type { Channel } from '../../channel/channel.js'
import { FdwireError, timeoutError } from '../../util/errors.js'
import type { Message } from '../../wire/message.js'

const READY = 'READY'
const OK = 'OK'

/** Until when something is to be done. */
export interface Limit {
  /** Time (ms of performance.now), infinite for none. */
  deadline: number
  /** How long that was when it began (ms), to be told. */
  timeout: number
  signal: AbortSignal | undefined
}

/** A limit that begins now; a `timeout` of 0 is none. */
export function limitOf(timeout: number, signal: AbortSignal | undefined): Limit {
  const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout
  return { deadline, timeout, signal }
}

/** The limit that is over first. */
export function firstOf(one: Limit, other: Limit): Limit {
  return one.deadline <= other.deadline ? one : other
}

/**
 * The client's half: says READY, and wants OK as the first answer.
 *
 * # Errors
 * ERR_FDWIRE_HANDSHAKE, ERR_FDWIRE_TIMEOUT, AbortError.
 */
export function greet(channel: Channel<string>, limit: Limit): Promise<void> {
  return explained(limit, async () => {
    channel.send(READY)
    const answer = await next(channel, limit, 'strictly')
    if (answer === null) throw failed('the server has left before it said OK')
    if (answer.value !== OK) throw failed('the server has answered something else than OK')
  })
}

/**
 * The server's half: waits for READY, and says OK. Whatever else comes before is dropped.
 *
 * # Errors
 * ERR_FDWIRE_HANDSHAKE, ERR_FDWIRE_TIMEOUT, AbortError.
 */
export function admit(channel: Channel<string>, limit: Limit): Promise<void> {
  return explained(limit, async () => {
    for (;;) {
      const message = await next(channel, limit)
      if (message === null) throw failed('the client has left before it said READY')
      if (message.value === READY) break
    }
    channel.send(OK)
  })
}

/** The next message; malformed ones are passed over unless they are to be told. */
async function next(
  channel: Channel<string>,
  { deadline, timeout, signal }: Limit,
  strictly?: 'strictly',
): Promise<Message<string> | null> {
  const left = deadline - performance.now()
  if (left <= 0) throw late(timeout)
  const wait = { timeout: left === Number.POSITIVE_INFINITY ? 0 : Math.ceil(left), signal }
  return strictly ? channel.receiveStrictly(wait) : channel.receive(wait)
}

/** Says of any failure that it was one of the handshake, unless our own side has given up. */
async function explained(limit: Limit, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    if (code === 'ERR_FDWIRE_TIMEOUT') throw late(limit.timeout)
    if (code === 'ERR_FDWIRE_HANDSHAKE' || code === 'ABORT_ERR') throw error
    throw failed(message, error)
  }
}

function failed(why: string, cause?: unknown): FdwireError {
  const message = `The handshake has failed: ${why}`
  return new FdwireError('ERR_FDWIRE_HANDSHAKE', message, cause === undefined ? {} : { cause })
}

function late(timeout: number): FdwireError {
  return timeoutError('The handshake was not done', timeout)
}
