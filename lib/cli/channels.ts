import type { Channel } from '../channel/channel.js'
import { bind } from '../open/bind.js'
import { connect } from '../open/connect.js'
import { listen } from '../open/listen.js'
import type { Listener } from '../open/listener.js'
import type { TcpAddress } from '../options/address.js'
import { PROTOCOL_NAMES, type Protocol, rowOf, type SocketType } from '../options/protocols.js'
import { MAX_MESSAGE_FDS } from '../util/descriptor.js'
import { errorCode } from '../util/errors.js'
import { setTimeout } from '../util/timers.js'
import { type AnyAddress, parseAddress, parseUnixAddress, typeAt } from './address.js'
import type { Arguments } from './arguments.js'
import { UsageError } from './errors.js'
import type { ValueForm } from './values.js'

const TYPES = ['stream', 'seqpacket', 'dgram'] as const

/** What the options say about a channel. */
export interface Plan {
  protocol: Protocol
  type: SocketType
  /** The options of fdwire. */
  options: Record<string, unknown>
  /** How typed values become messages. */
  form: ValueForm
}

/**
 * Chooses protocol and type.
 *
 * Without `--type` it is the first of `fallback` that the protocol has; `found` is the type of the
 * socket at the address, which comes before.
 */
export function planChannel(
  args: Arguments,
  fallback: readonly SocketType[],
  address: AnyAddress,
  found?: SocketType,
): Plan {
  const isTcp = typeof address === 'object' && 'host' in address
  const named = args.choice('protocol', PROTOCOL_NAMES)
  const types: readonly SocketType[] = named === undefined ? TYPES : rowOf(named).types
  const preferred = isTcp
    ? (['stream'] as const)
    : found === undefined
      ? fallback
      : [found, ...fallback]
  const type = args.choice('type', TYPES) ?? preferred.find(one => types.includes(one)) ?? types[0]
  if (type === undefined || !types.includes(type)) {
    throw new UsageError(`--protocol ${named} has no type ${type}: it has ${types.join(', ')}`)
  }
  const protocol = named ?? (type === 'stream' ? 'lines' : 'jsoncomm')
  const encoding = args.text('encoding')
  const maxFds = args.integer('max-fds') ?? (isTcp ? undefined : MAX_MESSAGE_FDS)
  const options = {
    protocol,
    type,
    ...(encoding !== undefined && { encoding }),
    ...(maxFds !== undefined && { maxFds }),
    ...framingOf(args),
    // A peer that has ended still gets its answers.
    ...(type !== 'dgram' && { allowHalfOpen: true }),
  }
  return { protocol, type, options, form: formOf(args, protocol, encoding) }
}

/** Returns the options of the framing; undefined for those that are absent. */
function framingOf(args: Arguments): Record<string, unknown> {
  const delimiter = args.text('delimiter')
  return {
    delimiter: delimiter === undefined ? undefined : parseDelimiter(delimiter),
    lengthBytes: args.integer('length-bytes'),
    littleEndian: args.flag('little-endian') || undefined,
    lengthAdjustment: args.integer('length-adjustment', true),
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0', '\\': '\\' }

/** Returns the bytes of a delimiter, in which a backslash begins an escape sequence. */
function parseDelimiter(text: string): Buffer {
  const parts = text.match(/\\x[\da-f]{2}|\\.?|[^\\]+/gis) ?? []
  return Buffer.concat(
    parts.map(part => {
      if (!part.startsWith('\\')) return Buffer.from(part)
      if (part.length === 4) return Buffer.from(part.slice(2), 'hex')
      const escaped = ESCAPES[part.slice(1)]
      if (escaped !== undefined) return Buffer.from(escaped)
      throw new UsageError(`--delimiter has the unknown escape sequence '${part}'`)
    }),
  )
}

function formOf(args: Arguments, protocol: Protocol, encoding: string | undefined): ValueForm {
  if (args.flag('hex')) return 'hex'
  const used = encoding ?? rowOf(protocol).encodings[0] ?? 'text'
  return used === 'text' || used === 'buffer' ? 'text' : 'json'
}

/** Connects to the address of a command. With `--wait`, waits until a socket has it. */
export async function connectTo(text: string, args: Arguments): Promise<[Channel, Plan]> {
  const address = parseAddress(text)
  if (typeof address === 'object' && 'fd' in address) {
    throw new UsageError('connect and send need an address; fd:N is for listen')
  }
  return openWithin(args.integer('wait') ?? 0, async () => {
    const found = typeof address === 'string' ? typeAt(address) : undefined
    const plan = planChannel(args, ['stream', 'dgram'], address, found)
    return [(await connect(address, plan.options as never)) as Channel, plan]
  })
}

/**
 * The errors of an address at which nothing listens yet. EPROTOTYPE is one of them, because the
 * type of the socket is looked up before: it may appear in between.
 */
const EARLY: readonly string[] = ['ENOENT', 'ECONNREFUSED', 'EPROTOTYPE']

/** Connects, and tries again for `wait` ms while nothing listens at the address. */
export async function openWithin<T>(wait: number, open: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + wait
  for (;;) {
    try {
      return await open()
    } catch (error) {
      const isEarly = EARLY.includes(errorCode(error) ?? '')
      if (!isEarly || Date.now() >= deadline) throw error
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** Listens at the address of a command. */
export async function listenAt(text: string, args: Arguments): Promise<[Listener, Plan]> {
  const address = parseAddress(text)
  const plan = planChannel(args, ['stream', 'seqpacket'], address)
  if (plan.type === 'dgram') throw new UsageError('listen needs a connection: use bind for dgram')
  return [(await listen(address as TcpAddress, plan.options as never)) as Listener, plan]
}

/** Binds a datagram socket to the address of a command. */
export async function bindAt(text: string, args: Arguments): Promise<[Channel, Plan]> {
  const address = parseUnixAddress(text)
  const plan = planChannel(args, ['dgram'], address)
  if (plan.type !== 'dgram') throw new UsageError(`bind is for dgram: use listen for ${plan.type}`)
  const options = { ...plan.options, credentials: true }
  return [(await bind(address, options as never)) as Channel, plan]
}
