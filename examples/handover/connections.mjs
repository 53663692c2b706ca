// The connections of an HTTP server: finds those that are idle, and takes them out of Node.
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import { adopt, FdSet } from 'fdwire'

/** Connections in one message; the kernel allows 253 descriptors. */
const BATCH = 200

/** How often to look for connections that became idle without a response (ms). */
const INTERVAL = 100

/** The connections of an HTTP server. Create it before the server listens. */
export class Connections extends EventEmitter {
  #server
  /** Node's sockets, with the number of requests in progress on each. */
  #open = new Map()
  /** Descriptors of connections that were taken out of Node and wait to be sent. */
  #out = []
  /** Connections that were sent, and that the successor has not acknowledged. */
  #batch
  #timer

  constructor(server) {
    super()
    // The keys of a TLS connection cannot be handed over: end TLS in front of this server.
    if (!(server instanceof http.Server)) throw new TypeError('server must be an http.Server')
    this.#server = server
    server.on('connection', socket => {
      this.#open.set(socket, 0)
      socket.once('close', () => {
        this.#open.delete(socket)
        this.emit('change')
      })
    })
    server.on('request', ({ socket }, response) => {
      this.#count(socket, 1)
      response.once('close', () => {
        this.#count(socket, -1)
        // The response was sent, and the client's next request was not read yet. Under load this is
        // the only moment at which the connection is idle.
        this.#takeOut()
      })
    })
  }

  /** Adds connections, which the server then serves. */
  add(fds) {
    for (let i = 0; i < fds.length; i++) {
      // As http.Server creates its sockets: it may respond after the client has ended its side.
      this.#server.emit('connection', fds.toSocket(i, { allowHalfOpen: true }))
    }
  }

  /** Starts to take connections out of Node as soon as they are idle. */
  beginHandover() {
    this.#timer = setInterval(() => this.#takeOut(), INTERVAL)
    this.#takeOut()
  }

  /**
   * Returns the next idle connections as an FdSet, or null after the last. Throws when `channel`
   * ends.
   */
  async next(channel) {
    const ended = new AbortController()
    const onClose = () => ended.abort()
    channel.once('close', onClose)
    try {
      while (this.#out.length === 0 && this.#open.size > 0) {
        if (channel.closed) throw new Error('the other process has ended')
        await once(this, 'change', { signal: ended.signal }).catch(() => {})
      }
    } finally {
      channel.off('close', onClose)
    }
    if (this.#out.length === 0) {
      clearInterval(this.#timer)
      return null
    }
    this.#batch = FdSet.from(this.#out.splice(0, BATCH))
    return this.#batch
  }

  /** Closes our descriptors of connections that the successor has; the connections stay open. */
  release(batch) {
    batch.close()
    this.#batch = undefined
  }

  /** Serves again the connections that the successor did not get. */
  takeBack() {
    clearInterval(this.#timer)
    this.#timer = undefined
    if (this.#batch !== undefined) this.add(this.#batch)
    this.#batch = undefined
    if (this.#out.length > 0) this.add(FdSet.from(this.#out.splice(0)))
  }

  #count(socket, difference) {
    const requests = this.#open.get(socket)
    if (requests !== undefined) this.#open.set(socket, requests + difference)
  }

  /** Takes all idle connections out of Node in one turn, in which Node reads nothing. */
  #takeOut() {
    if (this.#timer === undefined) return
    for (const socket of this.#idle()) {
      // Node stops reading and forgets the socket. Its descriptor keeps the connection open.
      this.#out.push(adopt(socket, { protocol: 'raw' }).detach())
      this.#open.delete(socket)
    }
    if (this.#out.length > 0) this.emit('change')
  }

  /**
   * Returns the connections of which Node has read nothing since the last request that it responded
   * to.
   *
   * Only Node's parser knows whether it holds the first bytes of a request. It has no method that
   * tells, but `closeIdleConnections()` destroys exactly the sockets whose parser is empty. So this
   * method replaces `destroy` for the time of that call.
   */
  #idle() {
    const idle = new Set()
    for (const socket of this.#open.keys()) {
      if (socket.bytesRead === 0) idle.add(socket)
      socket.destroy = () => idle.add(socket)
    }
    this.#server.closeIdleConnections()
    for (const socket of this.#open.keys()) delete socket.destroy
    return [...idle].filter(socket => this.#isQuiet(socket))
  }

  /** Whether a connection stays open and has no response in progress. */
  #isQuiet(socket) {
    const { destroyed, writableEnded, writableLength } = socket
    return !destroyed && !writableEnded && writableLength === 0 && this.#open.get(socket) === 0
  }
}
