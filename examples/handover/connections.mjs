// The connections of an HTTP server: which of them are idle, and how they leave this process.
import { EventEmitter, once } from 'node:events'
import http from 'node:http'
import { adopt, FdSet } from 'fdwire'

/** Connections that go over in one message; the kernel allows 253. */
const BATCH = 200

/** How often to look for those that became idle without a response of ours (ms). */
const LOOK = 100

/** The connections of an HTTP server, from before it listens. */
export class Connections extends EventEmitter {
  #server
  /** The sockets that Node has, with how many requests of each are being answered. */
  #open = new Map()
  /** Descriptors of connections that Node has no more, and that wait for the successor. */
  #out = []
  /** Those that are on their way to it. */
  #batch
  #timer

  constructor(server) {
    super()
    // The keys of TLS would stay here: whatever ends TLS stands before the server.
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
        // The response is out, and nothing that the client has sent upon it is read yet: the best
        // moment to take the connection, and under load the only one.
        this.#takeOut()
      })
    })
  }

  /** Takes connections in, which this server goes on to serve. */
  add(fds) {
    for (let i = 0; i < fds.length; i++) {
      // http.Server wants its sockets so: it may answer though the client has ended.
      this.#server.emit('connection', fds.toSocket(i, { allowHalfOpen: true }))
    }
  }

  /** From now on connections leave Node's hands as soon as they are idle. */
  beginHandover() {
    this.#timer = setInterval(() => this.#takeOut(), LOOK)
    this.#takeOut()
  }

  /** The next idle connections, as an FdSet; null when all are gone. Throws when `channel` ends. */
  async next(channel) {
    const gone = new AbortController()
    const onClose = () => gone.abort()
    channel.once('close', onClose)
    try {
      while (this.#out.length === 0 && this.#open.size > 0) {
        if (channel.closed) throw new Error('the other process has gone')
        await once(this, 'change', { signal: gone.signal }).catch(() => {})
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

  /** These are the successor's: our copies are closed, which the client doesn't notice. */
  letGo(batch) {
    batch.close()
    this.#batch = undefined
  }

  /** Serves what the successor didn't get. */
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

  /** Takes idle connections out of Node's hands, all in one turn: nothing is read meanwhile. */
  #takeOut() {
    if (this.#timer === undefined) return
    for (const socket of this.#idle()) {
      // Node stops reading and forgets the socket; the connection lives on by its descriptor.
      this.#out.push(adopt(socket, { protocol: 'raw' }).detach())
      this.#open.delete(socket)
    }
    if (this.#out.length > 0) this.emit('change')
  }

  /**
   * Connections of which Node has read nothing, or nothing behind the last request it has answered.
   *
   * The second only Node's parser knows: the first bytes of a request may be in it. It tells nobody,
   * but `closeIdleConnections()` destroys just these; so for a moment `destroy` does something else.
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

  /** Whether nothing is to be said to the client any more, and the connection not to be closed. */
  #isQuiet(socket) {
    const { destroyed, writableEnded, writableLength } = socket
    return !destroyed && !writableEnded && writableLength === 0 && this.#open.get(socket) === 0
  }
}
