// The connections of an HTTP server: finds the idle ones and detaches them from Node.
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import { adopt, FdSet } from 'fdwire'

/** The most connections per message; the kernel allows 253 descriptors. */
const BATCH = 200

/** The interval at which to look for connections that became idle without a response (ms). */
const INTERVAL = 100

/** The connections of an HTTP server. Create it before the server listens. */
export class Connections extends EventEmitter {
  #server
  /** Node's sockets, with the number of requests in progress on each. */
  #open = new Map()
  /** Descriptors of detached connections that wait to be sent. */
  #detached = []
  /** Connections that were sent and that the successor has not acknowledged yet. */
  #batch
  #timer

  constructor(server) {
    super()
    // The keys of a TLS connection cannot be handed over. Terminate TLS in front of this server.
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
        // The response has been sent, and the client's next request has not been read. Under load
        // the connection is idle only at this moment.
        this.#detachIdle()
      })
    })
  }

  /** Adds connections, which the server then serves. */
  add(fds) {
    for (let i = 0; i < fds.length; i++) {
      // http.Server creates its sockets in the same way: it may respond after the client's end.
      this.#server.emit('connection', fds.toSocket(i, { allowHalfOpen: true }))
    }
  }

  /** Starts to detach connections from Node as soon as they are idle. */
  beginHandover() {
    this.#timer = setInterval(() => this.#detachIdle(), INTERVAL)
    this.#detachIdle()
  }

  /**
   * Returns the next idle connections as an FdSet, or null after the last. Throws if `channel`
   * closes.
   */
  async next(channel) {
    const ended = new AbortController()
    const onClose = () => ended.abort()
    channel.once('close', onClose)
    try {
      while (this.#detached.length === 0 && this.#open.size > 0) {
        if (channel.closed) throw new Error('the other process has exited')
        await once(this, 'change', { signal: ended.signal }).catch(() => {})
      }
    } finally {
      channel.off('close', onClose)
    }
    if (this.#detached.length === 0) {
      clearInterval(this.#timer)
      return null
    }
    this.#batch = FdSet.from(this.#detached.splice(0, BATCH))
    return this.#batch
  }

  /** Closes this process's descriptors of connections that the successor has. These stay open. */
  release(batch) {
    batch.close()
    this.#batch = undefined
  }

  /** Resumes serving the connections that the successor has not acknowledged. */
  takeBack() {
    clearInterval(this.#timer)
    this.#timer = undefined
    if (this.#batch !== undefined) this.add(this.#batch)
    this.#batch = undefined
    if (this.#detached.length > 0) this.add(FdSet.from(this.#detached.splice(0)))
  }

  #count(socket, difference) {
    const requests = this.#open.get(socket)
    if (requests !== undefined) this.#open.set(socket, requests + difference)
  }

  /**
   * Detaches all idle connections from Node in one turn of the loop, so that Node reads nothing.
   */
  #detachIdle() {
    if (this.#timer === undefined) return
    for (const socket of this.#idle()) {
      // Node stops reading and forgets the socket. Its descriptor keeps the connection open.
      this.#detached.push(adopt(socket, { protocol: 'raw' }).detach())
      this.#open.delete(socket)
    }
    if (this.#detached.length > 0) this.emit('change')
  }

  /**
   * Returns the connections from which Node has read nothing since its last response.
   *
   * Only Node's parser knows whether it holds the first bytes of a request, and no method exposes
   * that. But `closeIdleConnections()` destroys exactly the sockets whose parser is empty, so this
   * method replaces `destroy` during that call.
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
