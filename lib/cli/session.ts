import { spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Channel } from '../channel/channel.js'
import type { Arguments } from './arguments.js'
import { describeError } from './errors.js'
import { printConnection, printErrors, printMessage, type Received } from './messages.js'
import type { Printer } from './printer.js'
import { formatValue, parseValue, type ValueForm, valueAsText, valueForJson } from './values.js'

/** An interactive session: it prints what arrives and sends what is typed. */
export class Session {
  readonly #printer: Printer
  readonly #form: ValueForm
  readonly #command: string | undefined
  readonly #channels = new Set<Channel>()
  /** Resolves when the last answer of a channel is sent: answers keep the order of messages. */
  readonly #answered = new Map<Channel, Promise<void>>()
  readonly #lines: Interface = createInterface({ input: process.stdin })
  /** The sender of the last message, to which a bound socket sends what is typed. */
  #lastSender: string | Buffer | undefined

  constructor(args: Arguments, printer: Printer, form: ValueForm) {
    this.#printer = printer
    this.#form = form
    this.#command = args.text('exec')
    this.#lines.on('line', line => this.#sendLine(line))
  }

  /** Resolves at the end of stdin. */
  get inputEnded(): Promise<void> {
    return new Promise(resolve => this.#lines.once('close', resolve))
  }

  /** Adds a channel. Resolves when it is closed, or rejects with its error. */
  add(channel: Channel, connection?: number): Promise<void> {
    this.#channels.add(channel)
    if (channel.type !== 'dgram') printConnection(this.#printer, 'connected', channel, connection)
    printErrors(this.#printer, channel, connection)
    channel.on('message', (value, fds, from, credentials) => {
      this.#receive(channel, { value, fds, from, credentials, connection })
    })
    channel.once('end', () => void this.#finish(channel))
    return new Promise((resolve, reject) => {
      channel.once('error', reject)
      channel.once('close', () => {
        this.#channels.delete(channel)
        this.#answered.delete(channel)
        printConnection(this.#printer, 'ended', channel, connection)
        resolve()
      })
    })
  }

  /** Stops reading stdin and closes the channels. */
  async close(): Promise<void> {
    this.#lines.close()
    await Promise.all([...this.#channels].map(channel => channel.close()))
  }

  #receive(channel: Channel, message: Received): void {
    const { from, fds } = message
    if (from !== undefined && from !== null) this.#lastSender = from
    printMessage(this.#printer, message)
    const command = this.#command
    if (command === undefined) {
      fds.close()
      return
    }
    const before = this.#answered.get(channel) ?? Promise.resolve()
    const answer = before.then(() => this.#answer(channel, message, command))
    const report = (error: unknown) =>
      this.#printer.remark(`fdwire: not answered: ${describeError(error)}`)
    this.#answered.set(
      channel,
      answer.catch(report).finally(() => fds.close()),
    )
  }

  /** Closes a channel whose peer has ended, after the last answer. */
  async #finish(channel: Channel): Promise<void> {
    await this.#answered.get(channel)
    // `add` reports the error of the channel.
    await channel.close().catch(() => {})
  }

  /** Answers a message with the output of a command. `{}` in it is the message. */
  async #answer(channel: Channel, { value, fds, from }: Received, command: string): Promise<void> {
    // The message is an argument of the shell, so that it cannot be a part of the command.
    const script = command.replaceAll('{}', '"$1"')
    const child = spawn('sh', ['-c', script, 'fdwire', valueAsText(value)], {
      stdio: ['ignore', 'pipe', 'inherit', ...fds],
    })
    let output = ''
    child.stdout?.on('data', chunk => {
      output += chunk
    })
    await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
    const to = from === null ? undefined : from
    if (!channel.closed) this.#send(channel, parseValue(output.replace(/\n$/, ''), this.#form), to)
  }

  #sendLine(line: string): void {
    if (this.#channels.size === 0) this.#printer.remark('fdwire: no connection: nothing was sent')
    try {
      const value = parseValue(line, this.#form)
      for (const channel of this.#channels) this.#send(channel, value, this.#destination(channel))
    } catch (error) {
      this.#printer.remark(`fdwire: ${describeError(error)}`)
    }
  }

  #destination({ type, remoteAddress }: Channel): string | Buffer | undefined {
    return type === 'dgram' && remoteAddress === undefined ? this.#lastSender : undefined
  }

  #send(channel: Channel, value: unknown, to: string | Buffer | undefined): void {
    try {
      channel.send(value as never, to === undefined ? {} : { to })
    } catch (error) {
      this.#printer.remark(`fdwire: not sent: ${describeError(error)}`)
      return
    }
    const line = `${this.#printer.style('cyan', '>')} ${formatValue(value)}`
    this.#printer.print({ event: 'sent', value: valueForJson(value) }, line)
  }
}
