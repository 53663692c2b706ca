import type { Channel } from '../../channel/channel.js'
import { bind } from '../../open/bind.js'
import { connect } from '../../open/connect.js'
import { listen } from '../../open/listen.js'
import { PROTOCOL_NAMES, type Protocol, rowOf, type SocketType } from '../../options/protocols.js'
import { MAX_MESSAGE_FDS } from '../../util/descriptor.js'
import { formatAddress, parseAddress, parseUnixAddress, typeAt } from '../address.js'
import type { Arguments } from '../arguments.js'
import { openWithin } from '../channels.js'
import { EXIT, type Run } from '../command.js'
import { UsageError } from '../errors.js'
import { Recorder } from '../recording.js'
import { type End, Forwarder } from '../tap-forwarder.js'
import { TapLog } from '../tap-log.js'

const TYPES = ['stream', 'seqpacket', 'dgram'] as const

/** `fdwire tap`: forwards between LISTEN and TARGET, and prints both directions. */
export const run: Run = async (args, printer) => {
  const [source = '', target = ''] = args.positionals
  const { protocol, type, options } = plan(args, target)
  const path = args.text('record')
  const heading = { recording: 1, target, protocol, type } as const
  const recorder = path === undefined ? undefined : new Recorder(path, heading)
  const log = new TapLog(printer, recorder, args.flag('quiet'))
  const wait = args.integer('wait') ?? 0
  const tap = new Tap(log, options, target, wait)
  if (type === 'dgram') await tap.bind(parseUnixAddress(source))
  else await tap.listen(source, args.flag('once'))
  recorder?.close()
  log.end()
  return EXIT.ok
}

/** Chooses the type of the target's socket, and a protocol that changes no byte. */
function plan(args: Arguments, target: string) {
  const address = parseAddress(target)
  const found = typeof address === 'string' ? typeAt(address) : 'stream'
  const type: SocketType = args.choice('type', TYPES) ?? found ?? 'stream'
  const protocol: Protocol = args.choice('protocol', PROTOCOL_NAMES) ?? 'raw'
  const { types, encodings } = rowOf(protocol)
  if (!types.includes(type) || (type !== 'stream' && protocol !== 'raw')) {
    throw new UsageError(`--protocol is for streams, and ${protocol} over ${type} is not one`)
  }
  const isTcp = typeof address === 'object'
  const encoding = encodings.includes('buffer') ? 'buffer' : encodings[0]
  const options = {
    protocol,
    type,
    ...(encoding !== undefined && { encoding }),
    ...(!isTcp && { maxFds: MAX_MESSAGE_FDS }),
  }
  return { protocol, type, options }
}

class Tap {
  readonly #log: TapLog
  readonly #options: object
  readonly #target: string
  /** How long to wait for the target (ms). */
  readonly #wait: number
  #connections = 0

  constructor(log: TapLog, options: object, target: string, wait: number) {
    this.#log = log
    this.#options = options
    this.#target = target
    this.#wait = wait
  }

  async #connect(options: object): Promise<Channel> {
    const address = parseAddress(this.#target)
    const open = () => connect(address as never, options as never)
    return (await openWithin(this.#wait, open)) as Channel
  }

  /** Forwards connections until the process is interrupted, or until one has ended. */
  async listen(source: string, once: boolean): Promise<void> {
    const options = { ...this.#options, allowHalfOpen: true }
    const listener = await listen(parseAddress(source) as never, options as never)
    this.#log.remark(`tapping ${formatAddress(listener.address)} -> ${this.#target}`)
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject)
      listener.on('connection', (client: Channel) => {
        const ended = this.#forward(client, options)
        if (once) ended.then(resolve)
      })
    })
    await listener.close()
  }

  async #forward(client: Channel, options: object): Promise<void> {
    const number = ++this.#connections
    this.#log.connected(number, client)
    // The client's messages wait in the kernel until the target is connected.
    client.on('error', () => {})
    try {
      const target = await this.#connect(options)
      await new Forwarder(number, this.#log).run({ channel: client }, { channel: target })
    } catch (error) {
      this.#log.failed(number, error)
      client.destroy()
    }
    this.#log.ended(number)
  }

  /** Forwards datagrams: each sender has its own socket towards the target. */
  async bind(source: string): Promise<void> {
    const server = (await bind(source, { ...this.#options, credentials: true } as never)) as Channel
    this.#log.remark(`tapping ${formatAddress(source)} -> ${this.#target}`)
    const senders = new Map<string, Promise<[Forwarder, Channel]>>()
    server.on('message', async (value, fds, from, credentials) => {
      const key = formatAddress(from)
      let sender = senders.get(key)
      if (sender === undefined) {
        const number = ++this.#connections
        this.#log.sender(number, from, credentials)
        sender = this.#openSender(number, { channel: server, to: from ?? undefined })
        senders.set(key, sender)
      }
      try {
        const [forwarder, target] = await sender
        forwarder.forward({ value, fds }, 'client', { channel: target }, server)
      } catch (error) {
        senders.delete(key)
        fds.close()
        this.#log.failed(this.#connections, error)
      }
    })
    await new Promise((_, reject) => server.once('error', reject))
  }

  async #openSender(number: number, client: End): Promise<[Forwarder, Channel]> {
    const target = await this.#connect(this.#options)
    const forwarder = new Forwarder(number, this.#log)
    target.on('message', (value, fds) => {
      forwarder.forward({ value, fds }, 'target', client, target)
    })
    target.on('error', error => this.#log.failed(number, error))
    return [forwarder, target]
  }
}
