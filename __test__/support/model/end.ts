/** One end of a connection, with the model of what it has sent and what has arrived. */
import { fstatSync } from 'node:fs'
import { adopt, type Channel, type FdSet, type Message } from 'fdwire'
import { expect } from 'vitest'
import { type Encoding, expectEqual, makeValue, numberOf } from './values.js'

/**
 * What the program has done to the end. A channel whose peer has ended closes itself, so its own
 * state does not follow from this alone.
 */
export type EndState = 'open' | 'ended' | 'closed' | 'destroyed'

/** A message that the channel has accepted. */
interface Sent {
  readonly size: number
  /** The files that it carries, by their index in `Files`. */
  readonly files: readonly number[]
}

/** A promise of the channel that must settle. */
interface Pending {
  readonly call: string
  settled: boolean
}

/** Open descriptors of different files, and what identifies each. */
export interface Files {
  readonly fds: readonly number[]
  readonly ids: readonly number[]
}

/** What an end is made with. */
export interface EndOptions {
  readonly encoding: Encoding
  /** The options of `adopt`, after a handover. */
  readonly channel: object
  readonly files: Files
}

/** Codes of calls on a channel that is closed or loses its peer. */
const GONE = [
  'ERR_FDWIRE_CLOSED',
  'ERR_FDWIRE_PEER_CLOSED',
  'EPIPE',
  'ECONNRESET',
  'ECONNREFUSED',
  'ENOTCONN',
]

export class End {
  channel: Channel
  peer: End = this
  state: EndState = 'open'
  /** Whether the program keeps the descriptors that it receives. */
  holds = false
  readonly #options: EndOptions
  readonly #sent: Sent[] = []
  /** The numbers of the peer's messages that have arrived. */
  readonly #arrived = new Set<number>()
  readonly #kept: FdSet[] = []
  readonly #pending: Pending[] = []
  /** The numbers that waiting calls have received, by the order of the calls. */
  readonly #waited: (number | undefined)[] = []
  readonly #aborters: AbortController[] = []
  /** The numbers of the latest message of an event and of an iteration. */
  #lastHeard = -1
  #lastIterated = -1
  #isListening = false
  #iterations = 0
  /** What must not have happened. It is thrown by `check`. */
  #failure: unknown
  readonly #listener = (value: unknown, fds: FdSet) =>
    this.#observe(() => {
      const number = this.#arrive(value, fds)
      expect(number, 'order of "message" events').toBeGreaterThan(this.#lastHeard)
      this.#lastHeard = number
    })

  constructor(channel: Channel, options: EndOptions) {
    this.#options = options
    this.channel = channel
    this.#watch()
  }

  /** Whether an end of the connection is not open, so that calls may fail. */
  get #mayFail(): boolean {
    return this.state !== 'open' || this.peer.state !== 'open'
  }

  /** Whether everything that the peer has sent must arrive, and has not yet. */
  get isWaiting(): boolean {
    return this.#mustGetAll && this.#arrived.size < this.peer.#sent.length
  }

  get #mustGetAll(): boolean {
    const reads = this.state === 'open' || this.state === 'ended'
    // If a datagram socket sends to a peer that is closed, the kernel drops what the peer has sent.
    const isDropped = this.channel.type === 'dgram' && this.peer.state === 'closed'
    return reads && this.peer.state !== 'destroyed' && !isDropped
  }

  /** Whether a call, or the channel, may fail with the code of an error. */
  #mayFailWith(error: unknown): boolean {
    const { code } = error as { code?: string }
    if (this.peer.state === 'destroyed' && code === 'ERR_FDWIRE_CUT_SHORT') return true
    return this.#mayFail && GONE.includes(code ?? '')
  }

  /** How many messages and descriptors the channel has accepted. */
  get sent() {
    const descriptors = this.#sent.reduce((sum, { files }) => sum + files.length, 0)
    return { messages: this.#sent.length, descriptors }
  }

  get isSettled(): boolean {
    return this.#pending.every(({ settled }) => settled)
  }

  send(size: number, files: readonly number[]): void {
    const number = this.#sent.length
    const value = makeValue(this.#options.encoding, number, size)
    const fds = files.map(file => this.#options.files.fds[file] as number)
    const accepted = this.#attempt('send', () =>
      this.channel.send(value, fds.length > 0 ? { fds } : undefined),
    )
    if (accepted !== undefined) this.#sent.push({ size, files })
  }

  sendAll(sizes: readonly number[]): void {
    const first = this.#sent.length
    const { encoding } = this.#options
    const values = sizes.map((size, index) => makeValue(encoding, first + index, size))
    let count = sizes.length
    this.#attempt('sendAll', () => {
      try {
        this.channel.sendAll(values)
      } catch (error) {
        count = (error as { sent?: number }).sent ?? 0
        throw error
      }
    })
    for (const size of sizes.slice(0, count)) this.#sent.push({ size, files: [] })
  }

  /** Sends a message, and waits for the next one of the peer as its reply. */
  request(size: number): void {
    const number = this.#sent.length
    const value = makeValue(this.#options.encoding, number, size)
    const before = this.channel.stats.sent
    const reply = this.channel.request(value as never, { timeout: 0 })
    if (!this.channel.closed && this.channel.stats.sent > before) {
      this.#sent.push({ size, files: [] })
    }
    this.#await('request', reply)
  }

  receive(): void {
    const aborter = new AbortController()
    this.#aborters.push(aborter)
    this.#await('receive', this.channel.receive({ signal: aborter.signal }), aborter.signal)
  }

  /** Aborts the latest call of `receive`. */
  abort(): void {
    this.#aborters.pop()?.abort()
  }

  /** Iterates over up to `count` messages. */
  iterate(count: number): void {
    const run = async () => {
      let left = count
      for await (const message of this.channel as AsyncIterable<Message>) {
        this.#observe(() => {
          const number = this.#arrive(message.value, message.fds)
          expect(number, 'order of iterations').toBeGreaterThan(this.#lastIterated)
          this.#lastIterated = number
        })
        if (--left === 0) break
      }
    }
    this.#iterations++
    const codes = this.#isListening || this.#iterations > 1 ? ['ERR_FDWIRE_CONSUMER_CONFLICT'] : []
    this.#follow(
      'iteration',
      run().finally(() => this.#iterations--),
      codes,
    )
  }

  listen(): void {
    if (this.#isListening) return
    try {
      this.channel.on('message', this.#listener)
      this.#isListening = true
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_FDWIRE_CONSUMER_CONFLICT' })
      expect(this.#iterations).toBeGreaterThan(0)
    }
  }

  unlisten(): void {
    this.channel.off('message', this.#listener)
    this.#isListening = false
  }

  pause(): void {
    this.#attempt('pause', () => this.channel.pause())
  }

  resume(): void {
    this.#attempt('resume', () => this.channel.resume())
  }

  flush(): void {
    this.#follow('flush', this.channel.flush())
  }

  end(): void {
    if (this.channel.type === 'dgram') return
    this.#attempt('end', () => this.channel.end())
    if (this.state === 'open') this.state = 'ended'
  }

  close(): void {
    this.#follow('close', this.channel.close({ timeout: 0 }))
    if (this.state !== 'destroyed') this.state = 'closed'
  }

  destroy(): void {
    this.channel.destroy()
    this.state = 'destroyed'
  }

  /** Detaches the socket and adopts it as a new channel, if nothing is in the old one. */
  handOver(): void {
    if (this.state !== 'open') return
    const { unread, inHand } = this.channel.stats
    let fd: number
    try {
      fd = this.channel.detach()
    } catch (error) {
      if (this.peer.state === 'open') expect(error).toMatchObject({ code: 'ERR_FDWIRE_NOT_QUIET' })
      return
    }
    expect({ unread, inHand }).toEqual({ unread: 0, inHand: 0 })
    expect(this.channel.stats).toMatchObject({ queued: 0, queuedBytes: 0, queuedFds: 0 })
    this.channel = adopt(fd, this.#options.channel as never) as Channel
    this.#isListening = false
    this.#watch()
  }

  /** Closes the descriptors that were kept. */
  release(): void {
    for (const fds of this.#kept.splice(0)) fds.close()
  }

  /** Reads everything that arrives from now on. */
  drain(): void {
    this.holds = false
    this.release()
    if (this.state !== 'open' && this.state !== 'ended') return
    this.resume()
    if (this.#iterations === 0) this.listen()
  }

  /** Throws what must not have happened; the numbers of messages must be as the model says. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure
    const numbers = [...this.#arrived].sort((a, b) => a - b)
    expect(numbers, 'the messages that have arrived').toEqual([...numbers.keys()])
    expect(numbers.length).toBeLessThanOrEqual(this.peer.#sent.length)
    const waited = this.#waited.filter(number => number !== undefined)
    expect(waited, 'order of waiting calls').toEqual([...waited].sort((a, b) => a - b))
  }

  /** Asserts that the channel counts as the model does, and holds nothing. */
  checkStats(): void {
    const { received, malformed, noise, undelivered, queued, queuedBytes, queuedFds, unread } =
      this.channel.stats
    const { inHand, openFds } = this.channel.stats
    expect({ received, malformed, noise, undelivered, openFds }).toEqual({
      received,
      malformed: 0,
      noise: 0,
      undelivered: 0,
      openFds: 0,
    })
    expect([queued, queuedBytes, queuedFds, unread, inHand]).toEqual([0, 0, 0, 0, 0])
  }

  /** Describes the end, for a failure. */
  describe(): string {
    const pending = this.#pending.filter(({ settled }) => !settled).map(({ call }) => call)
    const { sent, received, queued, unread, inHand, openFds } = this.channel.stats
    return (
      `${this.state}${this.channel.closed ? ' (closed)' : ''}: ${this.#sent.length} sent, ` +
      `${this.#arrived.size} of ${this.peer.#sent.length} arrived, pending: ${pending}, ` +
      JSON.stringify({ sent, received, queued, unread, inHand, openFds })
    )
  }

  #watch(): void {
    const { channel } = this
    const refuse = (event: string) => (error: unknown) =>
      this.#observe(() => {
        if (event !== 'malformed' && this.#mayFailWith(error)) return
        throw new Error(`unexpected '${event}'`, { cause: error })
      })
    channel.on('error', refuse('error'))
    channel.on('malformed', refuse('malformed'))
    channel.on('undelivered', refuse('undelivered'))
  }

  /** Notes a message of the peer. Returns its number. */
  #arrive(value: unknown, fds: FdSet): number {
    const { encoding, files } = this.#options
    const number = numberOf(encoding, value)
    const sent = this.peer.#sent[number]
    if (sent === undefined) throw new Error(`message ${number} was not sent`)
    expect(this.#arrived.has(number), `message ${number} has arrived before`).toBe(false)
    this.#arrived.add(number)
    expectEqual(value, makeValue(encoding, number, sent.size))
    const expected = sent.files.map(file => files.ids[file])
    expect([...fds].map(fd => fstatSync(fd).rdev)).toEqual(expected)
    if (this.holds) this.#kept.push(fds)
    else fds.close()
    return number
  }

  /** Waits for a message that a call receives. */
  #await(call: string, promise: Promise<Message | null>, signal?: AbortSignal): void {
    const place = this.#waited.push(undefined) - 1
    const noted = promise.then(message => {
      if (message !== null) this.#waited[place] = this.#arrive(message.value, message.fds)
      else if (!this.#mayFail) throw new Error(`${call} reports an end that there is not`)
    })
    this.#follow(call, noted, signal ? ['ABORT_ERR'] : [])
  }

  /** Follows a promise, which may be rejected only with these codes, or if an end is not open. */
  #follow(call: string, promise: Promise<unknown>, codes: readonly string[] = []): void {
    const pending = { call, settled: false }
    this.#pending.push(pending)
    promise
      .catch(error => {
        const { code } = error as { code?: string }
        const isExpected = codes.includes(code ?? '') || isFull(code, call)
        if (!isExpected && !this.#mayFailWith(error)) {
          this.#failure ??= new Error(`${call} failed`, { cause: error })
        }
      })
      .finally(() => {
        pending.settled = true
      })
  }

  /** Makes a call that may throw only if an end is not open, or the queue is full. */
  #attempt<T>(call: string, act: () => T): T | undefined {
    try {
      const result = act()
      const sends = call.startsWith('send')
      if (sends && this.state !== 'open') throw new Error(`${call} on an end that is not open`)
      return result
    } catch (error) {
      const { code } = error as { code?: string }
      if (isFull(code, call) || this.#mayFailWith(error)) return undefined
      throw error
    }
  }

  /** Keeps what fails in an event, where it would be an uncaught exception. */
  #observe(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#failure ??= error
    }
  }
}

const isFull = (code: string | undefined, call: string) =>
  code === 'ERR_FDWIRE_QUEUE_FULL' && (call.startsWith('send') || call === 'request')
