import { type Channel, coreOf } from '../channel/channel.js'
import { type CheckedServe, checkServe } from '../channel/serve/options.js'
import { closedError, conflictError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { startLimits } from '../util/wait.js'
import type { Listener } from './listener.js'

/** The listeners whose connections are served. */
const served = new WeakSet<Listener>()

/**
 * Serves every connection of a listener.
 *
 * Resolves when the listener is closed, or, after `signal` is aborted, when the replies of running
 * handlers are flushed. The errors of the channels are absorbed. A rejection after the start is
 * marked as handled.
 *
 * # Errors
 * The error that has closed the listener. At once: TypeError, RangeError, ERR_FDWIRE_CLOSED,
 * ERR_FDWIRE_CONSUMER_CONFLICT.
 */
export function serveConnections(
  listener: Listener,
  handler: unknown,
  options: unknown = NO_OPTIONS,
): Promise<void> {
  try {
    const serve = checkServe(handler, options)
    if (listener.closed) throw closedError('serve')
    if (served.has(listener)) throw conflictError('serve() takes the connections of this listener')
    if (serve.signal?.aborted) return Promise.resolve()
    const serving = startServing(listener, serve)
    serving.catch(nothing)
    return serving
  } catch (error) {
    return Promise.reject(error)
  }
}

function startServing(listener: Listener, serve: CheckedServe): Promise<void> {
  const { signal } = serve
  const servings = new Set<Promise<void>>()
  const onConnection = (channel: Channel) => {
    const serving = serveOne(channel, serve).then(() => {
      servings.delete(serving)
    })
    servings.add(serving)
  }
  return new Promise((resolve, reject) => {
    const stop = () => {
      stopWatching()
      served.delete(listener)
      listener.off('connection', onConnection).off('error', onError).off('close', onClose)
    }
    const onError = (error: Error) => {
      stop()
      reject(error)
    }
    const onClose = () => {
      stop()
      resolve()
    }
    const onAbort = () => {
      stop()
      void Promise.all(servings).then(() => resolve())
    }
    // Throws ERR_FDWIRE_CONSUMER_CONFLICT if an iterator takes the connections.
    listener.on('connection', onConnection).on('error', onError).on('close', onClose)
    served.add(listener)
    const stopWatching =
      signal === undefined
        ? nothing
        : startLimits({ timeout: 0, signal }, { late: 'serve' }, onAbort)
  })
}

/** Serves a channel. Resolves even if it fails: the client is at fault, or the handler. */
async function serveOne(channel: Channel, serve: CheckedServe): Promise<void> {
  try {
    await coreOf(channel).startServing(serve)
  } catch {
    // `fdwire:close` of diagnostics_channel has published the error.
  }
}

function nothing(): void {}
