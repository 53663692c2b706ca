import { isDisconnected } from '../util/errors.js'
import { clearTimeout, setTimeout } from '../util/timers.js'
import type { AnyChannel, Report, Wire } from './messages.js'

/** How long the end of a connection may stay unreported (ms). */
const DELAY = 5

/** The part of the window after which messages are acknowledged at once. */
const PART = 4

/** What a worker reports to its dispatcher. Several events share one report. */
export class Reports {
  readonly #channel: AnyChannel
  readonly #wire: Wire
  readonly #window: number
  #taken = 0
  /** The number of connections in the taken messages. */
  #connections = 0
  #closed = 0
  #timer: NodeJS.Timeout | undefined
  #isBlocked = false

  /** Announces the window: the most connections that may be on their way. */
  constructor(channel: AnyChannel, wire: Wire, window: number) {
    this.#channel = channel
    this.#wire = wire
    this.#window = window
    this.#send({ window })
  }

  /** Acknowledges a message with this number of connections. */
  take(connections: number): void {
    this.#taken++
    this.#connections += connections
    if (this.#connections * PART >= this.#window) this.#report()
    else this.#reportSoon()
  }

  /** Acknowledges a message that could not be received. Its connections are lost. */
  refuse(): void {
    this.#taken++
    this.#report(1)
  }

  /** Counts a connection that has ended. */
  countClosed(): void {
    this.#closed++
    this.#reportSoon()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #reportSoon(): void {
    if (this.#timer !== undefined || this.#isBlocked) return
    this.#timer = setTimeout(() => this.#report(), DELAY)
    this.#timer.unref()
  }

  #report(refused = 0): void {
    this.stop()
    if (this.#channel.closed || (this.#taken === 0 && this.#closed === 0)) return
    // The dispatcher does not read: counts add up until it does.
    if (this.#isBlocked && refused === 0) return
    const [taken, closed] = [this.#taken, this.#closed]
    const report: Report = {}
    if (taken > 0) report.taken = taken
    if (refused > 0) report.refused = refused
    if (closed > 0) report.closed = closed
    this.#taken = 0
    this.#connections = 0
    this.#closed = 0
    try {
      this.#send(report)
    } catch (error) {
      // The channel ends by itself. If the kernel has no memory, the next report has these counts.
      if (isDisconnected(error)) return
      this.#taken = taken
      this.#closed = closed
      this.#reportSoon()
    }
  }

  #send(report: Report): void {
    const isSent = this.#channel.send(this.#wire.encode(report))
    if (isSent) return
    this.#isBlocked = true
    this.#channel.flush().then(
      () => {
        this.#isBlocked = false
        this.#report()
      },
      () => {},
    )
  }
}
