/** The traffic of one channel with one peer: numbered messages, each of which is checked on arrival. */
import { fstatSync } from 'node:fs'
import { passesFds } from './kinds.mjs'

/** Lengths of the messages' text. Message `n` has the length `SIZES[n % SIZES.length]`. */
const SIZES = [10, 200, 3_000, 40, 40_000, 1]
const TEXT = 'The quick brown fox jumps over the lazy dog. '.repeat(1_000)

/** Messages that are sent before the event loop gets a turn. */
const BURST = 32
/** Sets of received descriptors that stay open, so that some are held when a peer dies. */
const HELD = 8

/** What `send` may say, and how a channel may end, when the peer dies. */
const DEATHS = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'ENOTCONN',
  'EPIPE',
  'ERR_FDWIRE_CLOSED',
  'ERR_FDWIRE_CUT_SHORT',
  'ERR_FDWIRE_PEER_CLOSED',
]

const fillOf = n => TEXT.slice(n % 7, (n % 7) + SIZES[n % SIZES.length])
const fdsOf = (kind, n) => (passesFds(kind) && n % 3 === 0 ? 1 + (n % 2) : 0)

export class Link {
  accepted = 0
  received = 0
  receivedFds = 0
  /** How the channel or the last message failed: an error's code, or 'end'. */
  ending = undefined
  problems = []
  #held = []
  #sending = false
  #timer

  /**
   * `fd` goes along with messages. `inode` is that of the descriptors which the peer sends.
   * On an unconnected socket `to` is the peer's address.
   */
  constructor(kind, channel, { fd, inode, to } = {}) {
    Object.assign(this, { kind, channel, fd, inode, to })
  }

  /** Attaches to the events of a channel that has only one peer. */
  attach() {
    this.channel
      .on('message', (value, fds) => this.receive(value, fds))
      .on('malformed', error => this.problems.push(`malformed: ${error.code}`))
      .on('undelivered', error => this.fail(error))
      .on('drain', () => this.drained())
      .on('error', error => this.fail(error))
      .on('end', () => this.end('end'))
    return this
  }

  /** Sends as fast as the peer receives. */
  start() {
    this.#sending = true
    this.#burst(BURST)
    return this
  }

  /** Sends `count` messages every `period` ms. */
  startAt(count, period) {
    this.#sending = true
    this.#timer = setInterval(() => {
      for (let i = 0; i < count && this.#sending; i++) if (this.#send() === false) break
    }, period)
    return this
  }

  /** Stops sending, and closes the descriptors that are held. */
  stop() {
    this.#sending = false
    clearInterval(this.#timer)
    for (const fds of this.#held.splice(0)) fds.close()
  }

  drained() {
    if (this.#sending && this.#timer === undefined) setImmediate(() => this.#burst(BURST))
  }

  receive({ n, fill }, fds) {
    if (n !== this.received) this.problems.push(`message ${n} came as number ${this.received}`)
    if (fill !== fillOf(n)) this.problems.push(`message ${n} is damaged`)
    if (fds.length !== fdsOf(this.kind, n)) {
      this.problems.push(`message ${n} came with ${fds.length} descriptors`)
    }
    if (fds.length > 0) {
      for (const fd of fds) {
        if (this.inode !== undefined && fstatSync(fd).ino !== this.inode) {
          this.problems.push(`message ${n} came with another descriptor`)
        }
      }
      this.receivedFds += fds.length
      this.#held.push(fds)
      if (this.#held.length > HELD || !this.#sending) this.#held.shift().close()
    }
    this.received = n + 1
  }

  fail(error) {
    if (!DEATHS.includes(error.code)) this.problems.push(`${error.code}: ${error.message}`)
    this.end(error.code)
  }

  end(how) {
    this.ending ??= how
    this.stop()
  }

  #burst(count) {
    for (let i = 0; i < count && this.#sending; i++) if (this.#send() !== true) return
    if (this.#sending) setImmediate(() => this.#burst(count))
  }

  /** Sends one message; returns what `send` returns, or undefined if it threw. */
  #send() {
    const n = this.accepted
    const count = fdsOf(this.kind, n)
    const fds = count > 0 ? { fds: Array(count).fill(this.fd) } : {}
    const to = this.to === undefined ? {} : { to: this.to }
    try {
      const more = this.channel.send({ n, fill: fillOf(n) }, { ...fds, ...to })
      this.accepted++
      return more
    } catch (error) {
      this.fail(error)
      return undefined
    }
  }
}
