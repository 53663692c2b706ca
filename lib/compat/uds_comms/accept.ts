import type { Channel } from '../../channel/channel.js'
import type { Listener } from '../../open/listener.js'
import { abortError, closedError, timeoutError } from '../../util/errors.js'
import { startLimits } from '../../util/wait.js'
import type { Limits } from './handshake.js'

/**
 * Waits for the next connection of a listener. A call that times out or is aborted takes none.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT, AbortError; the error of the listener, ERR_FDWIRE_CLOSED.
 */
export function accept(
  listener: Listener<Channel<string>>,
  { deadline, signal }: Limits,
): Promise<Channel<string>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) throw abortError(signal)
    if (listener.closed) throw closedError('waitForConnection')
    let failure: Error | undefined
    const stop = () => {
      stopLimits()
      listener.off('connection', onConnection).off('error', onError).off('close', onClose)
    }
    const onConnection = (channel: Channel<string>) => {
      stop()
      resolve(channel)
    }
    const onError = (error: Error) => {
      failure = error
    }
    const fail = (error: Error) => {
      stop()
      reject(error)
    }
    const onClose = () => fail(failure ?? closedError('waitForConnection'))
    const late = () => timeoutError('No client connected', deadline.timeout)
    const stopLimits = startLimits({ timeout: deadline.remaining, signal }, { late }, fail)
    listener.on('connection', onConnection).on('error', onError).on('close', onClose)
  })
}
