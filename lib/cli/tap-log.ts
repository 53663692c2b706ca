import type { Channel } from '../channel/channel.js'
import type { FdSet } from '../fds/fdset.js'
import type { Credentials } from '../options/types.js'
import { now } from '../util/timers.js'
import { formatAddress } from './address.js'
import { describeFds, formatFd } from './descriptors.js'
import { describeError } from './errors.js'
import { formatCredentials, printConnection } from './messages.js'
import { type Printer, Progress } from './printer.js'
import type { Recorder, Side } from './recording.js'
import { previewOf, valueForJson } from './values.js'

/** The longest text of a message that is shown (characters). */
const MAX_SHOWN = 200
/** The most descriptors of a message that are shown. */
const MAX_SHOWN_FDS = 8

/** What a tap prints and records. */
export class TapLog {
  readonly #printer: Printer
  readonly #recorder: Recorder | undefined
  /** Whether messages are counted instead of printed. */
  readonly #isQuiet: boolean
  readonly #progress = new Progress('messages')
  readonly #counts = { client: 0, target: 0 }
  readonly #bytes = { client: 0, target: 0 }
  #fds = 0
  /** The time of the first connection. */
  #start: number | undefined

  constructor(printer: Printer, recorder: Recorder | undefined, isQuiet: boolean) {
    this.#printer = printer
    this.#recorder = recorder
    this.#isQuiet = isQuiet
  }

  remark(text: string): void {
    if (!this.#printer.isJson) this.#printer.print({}, this.#printer.style('dim', text))
  }

  connected(connection: number, channel: Channel): void {
    this.#start ??= now()
    printConnection(this.#printer, 'connected', channel, connection)
  }

  /** Reports the first datagram of a sender. */
  sender(connection: number, from: string | Buffer | null | undefined, who?: Credentials): void {
    this.#start ??= now()
    const address = formatAddress(from)
    const text = who === undefined ? address : `${address}, ${formatCredentials(who)}`
    this.#printer.print(
      { event: 'sender', connection, from: address, ...who },
      `#${connection} ${text}`,
    )
  }

  ended(connection: number): void {
    this.#printer.print(
      { event: 'ended', connection },
      this.#printer.style('dim', `#${connection} ended`),
    )
  }

  failed(connection: number, error: unknown): void {
    const message = describeError(error)
    const line = this.#printer.style('red', `#${connection} ${message}`)
    this.#printer.print({ event: 'error', connection, message }, line)
  }

  /** Prints and records a message before it is forwarded. */
  message(connection: number, from: Side, value: unknown, fds: FdSet): void {
    this.#counts[from]++
    this.#bytes[from] += (value as string | Buffer).length
    this.#fds += fds.length
    this.#progress.add()
    if (this.#isQuiet && this.#recorder === undefined) return
    const time = Math.round(now() - (this.#start ?? now()))
    // Describing a descriptor takes three system calls: text shows only some of them.
    const isComplete = this.#printer.isJson || this.#recorder !== undefined
    const described = describeFds(fds, isComplete ? fds.length : MAX_SHOWN_FDS)
    this.#recorder?.add({ time, connection, from, fds: described }, value)
    if (this.#isQuiet) return
    const shown = previewOf(value, MAX_SHOWN)
    const arrow = from === 'client' ? '>' : '<'
    const size = `${(value as string | Buffer).length} B`
    const more = fds.length - MAX_SHOWN_FDS
    this.#printer.print(
      { event: 'message', time, connection, from, value: valueForJson(value), fds: described },
      `#${connection} ${(time / 1_000).toFixed(3)} ${this.#printer.style('green', arrow)} ${size} ${shown}`,
      ...described.slice(0, MAX_SHOWN_FDS).map((fd, index) => `  ${formatFd(fd, index)}`),
      ...(more > 0 ? [`  and ${more} more descriptors`] : []),
    )
  }

  /** Prints the totals. */
  end(): void {
    this.#progress.end()
    const { client, target } = this.#counts
    const bytes = this.#bytes
    const text =
      `${client} messages (${bytes.client} B) to the target, ` +
      `${target} (${bytes.target} B) back, ${this.#fds} descriptors`
    this.#printer.print({ event: 'total', messages: this.#counts, bytes, fds: this.#fds }, text)
  }
}
