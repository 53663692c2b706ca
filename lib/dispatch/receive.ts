import { EventEmitter } from 'node:events'
import { Server, type Socket } from 'node:net'
import type { FdSet } from '../fds/fdset.js'
import { checkCallOptions } from '../options/calls.js'
import { checkFunction, describeValue } from '../util/checks.js'
import { FdwireError, isDisconnected } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { nextTick } from '../util/timers.js'
import { Headroom, openFilesLimit } from './headroom.js'
import { type AnyChannel, type Details, type Wire, wireOf } from './messages.js'
import { Reports } from './reports.js'
import { openSocket } from './sockets.js'

/** Options of {@link receiveConnections}. */
export interface ReceiveConnectionsOptions {
  /**
   * Is called with the `meta` of a connection that was dispatched with one, before `'connection'` is
   * emitted.
   */
  onMeta?: ((meta: unknown, socket: Socket) => void) | undefined
}

/** The most connections on their way to this worker, and the part of its descriptors they may need. */
const WINDOW = 64
const PART = 8

/**
 * Serves the connections that a `Dispatcher` sends over a channel: emits each as `'connection'` of
 * `server`, with the bytes that were read already, as if the server had accepted it.
 *
 * `server` is a `net`, `http`, `https` or `tls` server, which need not listen, the WebSocketServer
 * of `ws`, whose HTTP server gets the connections, or any other EventEmitter.
 *
 * The promise resolves when the channel has ended, because the dispatcher has closed it or has died.
 * Connections stay open then.
 *
 * # Errors
 * TypeError; ERR_FDWIRE_CLOSED. The promise rejects with the error of the channel. It need not be
 * handled.
 */
export function receiveConnections(
  channel: AnyChannel,
  server: EventEmitter,
  options: ReceiveConnectionsOptions = NO_OPTIONS,
): Promise<void> {
  const wire = wireOf('receiveConnections', channel)
  checkCallOptions('receiveConnections', options, ['onMeta'])
  const onMeta = checkFunction<(meta: unknown, socket: Socket) => void>('onMeta', options.onMeta)
  const emitter = emitterOf(server)
  trackConnections(emitter)
  const receiving = new Receiving(channel, wire, emitter, onMeta)
  receiving.ended.catch(() => {})
  return receiving.ended
}

/** Returns the emitter that gets the connections. */
function emitterOf(server: unknown): EventEmitter {
  if (!(server instanceof EventEmitter)) {
    throw new TypeError(
      `receiveConnections takes a net, http or https server, not ${describeValue(server)}`,
    )
  }
  // 'connection' of a WebSocketServer has another meaning. Its HTTP server upgrades connections.
  if (!('handleUpgrade' in server)) return server
  const { _server: httpServer } = server as { _server?: unknown }
  if (httpServer instanceof EventEmitter) return httpServer
  throw new TypeError(
    'receiveConnections: the WebSocketServer has no HTTP server (noServer): pass the HTTP server ' +
      'that calls its handleUpgrade',
  )
}

/**
 * Starts the timer of `headersTimeout` and `requestTimeout` of an HTTP server that does not listen.
 * Node does it when the server listens; Node 20 to 26 have a listener of this name.
 */
function trackConnections(server: EventEmitter): void {
  if (!(server instanceof Server) || server.listening) return
  for (const listener of server.listeners('listening')) {
    if (listener.name === 'setupConnectionsTracking') listener.call(server)
  }
}

class Receiving {
  readonly ended: Promise<void>
  readonly #channel: AnyChannel
  readonly #wire: Wire
  readonly #server: EventEmitter
  readonly #onMeta: ReceiveConnectionsOptions['onMeta']
  readonly #reports: Reports
  readonly #headroom: Headroom

  constructor(
    channel: AnyChannel,
    wire: Wire,
    server: EventEmitter,
    onMeta: ReceiveConnectionsOptions['onMeta'],
  ) {
    this.#channel = channel
    this.#wire = wire
    this.#server = server
    this.#onMeta = onMeta
    const limit = openFilesLimit()
    const window = Math.max(1, Math.min(WINDOW, Math.floor(limit / PART)))
    this.#headroom = new Headroom(window, limit)
    // The first call that may throw, because the channel is closed.
    this.#reports = new Reports(channel, wire, window)
    let error: Error | undefined
    channel.on('message', this.#onMessage)
    channel.on('malformed', this.#onMalformed)
    channel.on('error', failure => {
      error = failure
    })
    this.ended = new Promise((resolve, reject) => {
      channel.once('close', () => {
        this.#headroom.stop()
        this.#reports.stop()
        // The dispatcher has closed the channel with reports unread, or has died.
        if (error === undefined || isDisconnected(error)) resolve()
        else reject(error)
      })
    })
  }

  readonly #onMessage = (value: unknown, fds: FdSet): void => {
    const connections = this.#wire.decode(value)?.connections
    // Another message of the program.
    if (!Array.isArray(connections)) return
    try {
      this.#open(connections, fds)
    } catch (error) {
      this.#channel.destroy(error as Error)
    } finally {
      fds.close()
    }
  }

  /** Opens the connections of a message. */
  #open(connections: (Details | null)[], fds: FdSet): void {
    if (connections.length !== fds.length) {
      const found = `${connections.length} connections and ${fds.length} descriptors`
      throw new FdwireError('ERR_FDWIRE_BAD_BODY', `A message of the dispatcher has ${found}`)
    }
    this.#reports.take(connections.length)
    let isScarce = false
    connections.forEach((details, index) => {
      isScarce ||= this.#headroom.isScarce(fds.get(index))
      this.#emit(openSocket(fds, index, this.#server), details)
    })
    if (isScarce) this.#rest()
  }

  /** Emits a connection. An exception of a listener is uncaught, and does not affect the others. */
  #emit(socket: Socket, details: Details | null): void {
    socket.on('close', this.#onClosed)
    try {
      if (typeof details?.head === 'string') socket.unshift(Buffer.from(details.head, 'base64'))
      if (details?.meta !== undefined) this.#onMeta?.(details.meta, socket)
      this.#server.emit('connection', socket)
    } catch (error) {
      nextTick(() => {
        throw error
      })
    }
  }

  readonly #onClosed = (): void => this.#reports.countClosed()

  /** Stops receiving until enough descriptors are free. Further connections wait in the kernel. */
  #rest(): void {
    if (this.#channel.closed) return
    this.#channel.pause()
    this.#headroom.wait(() => {
      if (!this.#channel.closed) this.#channel.resume()
    })
  }

  readonly #onMalformed = (error: FdwireError): void => {
    if (error.code !== 'ERR_FDWIRE_FDS_TRUNCATED') return
    this.#reports.refuse()
    this.#rest()
  }
}
