import { openSync } from 'node:fs'
import type { Channel } from '../../channel/channel.js'
import type { FdSource } from '../../fds/borrow.js'
import { FdSet } from '../../fds/fdset.js'
import { createMemfd } from '../../fds/memfd.js'
import { connect } from '../../open/connect.js'
import { rowOf } from '../../options/protocols.js'
import { MAX_MESSAGE_FDS } from '../../util/descriptor.js'
import { clearTimeout, setTimeout } from '../../util/timers.js'
import { parseAddress } from '../address.js'
import { EXIT, type Run } from '../command.js'
import type { FdDescription } from '../descriptors.js'
import { contentOf, type Heading, type RecordedMessage, readRecording } from '../recording.js'

/** `fdwire replay`: sends what the clients of a recording sent, and compares the replies. */
export const run: Run = async (args, printer) => {
  const [file = '', address] = args.positionals
  const { heading, messages } = readRecording(file)
  if (messages.length === 0) throw new Error(`${file} has no messages`)
  const timeout = args.integer('timeout') ?? 5_000
  let areEqual = true
  for (const connection of new Set(messages.map(message => message.connection))) {
    const own = messages.filter(message => message.connection === connection)
    const replay = new Replay(await open(heading, address ?? heading.target), timeout)
    const result = await replay.run(own)
    areEqual &&= result.isEqual
    const verdict = result.isEqual ? 'as recorded' : 'other than recorded'
    printer.print(
      { event: 'replayed', connection, ...result },
      `#${connection} sent ${result.sent} messages, received ${result.received} of ` +
        `${result.recorded} bytes: ${verdict}`,
    )
  }
  return areEqual || !args.flag('check') ? EXIT.ok : EXIT.failed
}

async function open({ protocol, type }: Heading, address: string): Promise<Channel> {
  const { encodings } = rowOf(protocol)
  const parsed = parseAddress(address)
  const options = {
    protocol,
    type,
    ...(encodings.length > 0 && {
      encoding: encodings.includes('buffer') ? 'buffer' : encodings[0],
    }),
    ...(typeof parsed === 'string' && { maxFds: MAX_MESSAGE_FDS }),
    ...(type !== 'dgram' && { allowHalfOpen: true }),
  }
  return (await connect(parsed as never, options as never)) as Channel
}

/** One connection of a recording. */
class Replay {
  readonly #channel: Channel
  /** Time limit for the replies that the recording has before a message (ms). */
  readonly #timeout: number
  #replies = ''
  #wake = () => {}

  constructor(channel: Channel, timeout: number) {
    this.#channel = channel
    this.#timeout = timeout
    channel.on('message', (value, fds) => {
      fds.close()
      this.#replies += Buffer.from(value as Buffer).toString('latin1')
      this.#wake()
    })
    for (const event of ['end', 'error', 'close'] as const) channel.on(event, () => this.#wake())
  }

  /** Sends the client's messages, each one after the replies that it followed. */
  async run(messages: readonly RecordedMessage[]) {
    let expected = ''
    let sent = 0
    for (const message of messages) {
      if (message.from === 'target') {
        expected += Buffer.from(contentOf(message) as Buffer).toString('latin1')
        continue
      }
      await this.#receive(expected.length)
      if (this.#channel.closed) break
      const fds = reopen(message.fds)
      this.#channel.send(contentOf(message) as never, { fds: fds as Iterable<FdSource> })
      fds.close()
      sent++
    }
    await this.#receive(expected.length)
    this.#channel.destroy()
    const isEqual = this.#replies === expected
    return { sent, received: this.#replies.length, recorded: expected.length, isEqual }
  }

  /** Waits until so many bytes have arrived, the channel is closed, or the time is over. */
  async #receive(bytes: number): Promise<void> {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      this.#wake()
    }, this.#timeout)
    while (this.#replies.length < bytes && !this.#channel.closed && !isLate) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    clearTimeout(timer)
  }
}

/** Opens the files of a recorded message again. An empty memfd replaces any other descriptor. */
function reopen(fds: readonly FdDescription[]): FdSet {
  return FdSet.from(
    fds.map(({ kind, target }) => {
      if (kind === 'file' || kind === 'directory') {
        try {
          return openSync(target, 'r')
        } catch {
          // The file was removed, or has no name.
        }
      }
      return createMemfd('').take(0)
    }),
  )
}
