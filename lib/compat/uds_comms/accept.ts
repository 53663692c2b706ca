import type { Channel } from '../../channel/channel.js'
import type { Listener } from '../../open/listener.js'
import { abortError, closedError, timeoutError } from '../../util/errors.js'
import type { Limit } from './handshake.js'

/**
 * The next connection of a listener, which accepts none beyond it: one that nobody waits for any more
 * is not taken out of the backlog.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT, AbortError; what the listener has failed with, ERR_FDWIRE_CLOSED.
 */
export function accept(
  listener: Listener<Channel<string>>,
  { deadline, timeout, signal }: Limit,
): Promise<Channel<string>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw abortError(signal)
    if (listener.closed) throw closedError('waitForConnection')
    let failure: Error | undefined
    const settle = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      listener.off('connection', onConnection).off('error', onError).off('close', onClose)
    }
    const giveUp = (error: unknown) => {
      settle()
      reject(error)
    }
    const onConnection = (channel: Channel<string>) => {
      settle()
      resolve(channel)
    }
    const onError = (error: Error) => {
      failure = error
    }
    const onClose = () => giveUp(failure ?? closedError('waitForConnection'))
    const onAbort = () => giveUp(abortError(signal as AbortSignal))
    const late = () => giveUp(timeoutError('No client has come', timeout))
    const left = Math.max(0, Math.ceil(deadline - performance.now()))
    // The listener keeps the process alive, or not if it is unref'd: a time limit alone shall not.
    const timer = deadline === Number.POSITIVE_INFINITY ? undefined : setTimeout(late, left).unref()
    signal?.addEventListener('abort', onAbort, { once: true })
    listener.on('connection', onConnection).on('error', onError).on('close', onClose)
  })
}
