/** Opens a channel by every function over every kind of socket, to test each option there. */
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { connect as netConnect } from 'node:net'
import { join } from 'node:path'
import { adopt, bind, type Channel, connect, type Listener, listen, over, pair } from 'fdwire'
import type { Opener, OptionContext } from '../../lib/options/option.js'
import { receivedFdSet, track } from './channels.js'
import { temporaryDirectory } from './processes.js'
import { abstractName, acceptNext, afterTest } from './streams.js'

// biome-ignore lint/suspicious/noExplicitAny: options of all functions
type Options = any

/** A channel that a function has made with the options under test, and its peer with none. */
export interface Pair {
  ours: Channel
  theirs: Channel
  /** What `send` of the peer needs. */
  toOurs: { to?: string }
  toTheirs: { to?: string }
  /** The address of the listener, or of the bound socket. */
  address?: unknown
}

/** A function over a kind of socket. */
export interface Cell {
  name: string
  opener: Opener
  type: OptionContext['type']
  target: OptionContext['target']
  /** The protocol of the channel. */
  base: { protocol: 'length_prefixed' | 'jsoncomm'; type?: string; encoding?: 'json' }
  open(options: Options): Promise<Pair>
}

const BASES = {
  stream: { protocol: 'length_prefixed', type: 'stream', encoding: 'json' },
  seqpacket: { protocol: 'jsoncomm', type: 'seqpacket' },
  dgram: { protocol: 'jsoncomm', type: 'dgram' },
} as const
type Type = keyof typeof BASES

const LOOPBACK = { host: '127.0.0.1', port: 0 }
const path = () => join(temporaryDirectory(), 'socket')

const connection = (ours: Channel, theirs: Channel): Pair => ({
  ours,
  theirs,
  toOurs: {},
  toTheirs: {},
})

/** What the peer may send: descriptors, where the socket carries them. */
const peerOptions = (type: Type, target: string) => ({
  ...BASES[type],
  ...(target === 'unix' && { maxFds: 253 }),
})

async function listening(where: unknown, options: Options): Promise<Listener<Channel>> {
  const listener = await listen(where as string, options)
  afterTest(() => listener.close())
  return listener as unknown as Listener<Channel>
}

async function connected(
  where: unknown,
  ours: Options,
  theirs: Options,
  opener: 'connect' | 'listen',
): Promise<Pair> {
  const [client, server] = opener === 'connect' ? [ours, theirs] : [theirs, ours]
  const listener = await listening(where, server)
  const one = track((await connect(listener.address as string, client)) as unknown as Channel)
  const other = track(await acceptNext(listener))
  const { address } = listener
  const both = opener === 'connect' ? connection(one, other) : connection(other, one)
  return { ...both, address }
}

function overSocket(opener: 'connect' | 'listen', type: Type, target: 'unix' | 'tcp'): Cell {
  const base = BASES[type]
  const open = (options: Options) => {
    const where = target === 'tcp' ? LOOPBACK : path()
    return connected(where, { ...base, ...options }, peerOptions(type, target), opener)
  }
  return { name: `${opener}, ${type} over ${target}`, opener, type, target, base, open }
}

/** Makes a listening socket; returns a descriptor of it that nothing owns, and its address. */
async function listeningFd(target: 'unix' | 'tcp'): Promise<[fd: number, where: unknown]> {
  const where = target === 'tcp' ? LOOPBACK : abstractName()
  const listener = (await listen(where as string, BASES.stream)) as unknown as Listener<Channel>
  const { address } = listener
  const fds = await receivedFdSet(listener.fd)
  await listener.close()
  return [fds.take(0), address]
}

function givenListener(target: 'unix' | 'tcp'): Cell {
  const base = BASES.stream
  const open = async (options: Options) => {
    const [fd, where] = await listeningFd(target)
    let listener: Listener<Channel>
    try {
      listener = await listening({ fd }, { ...base, ...options })
    } catch (error) {
      closeSync(fd)
      throw error
    }
    const client = track(await connect(where as string, peerOptions('stream', target)))
    return connection(track(await acceptNext(listener)), client as unknown as Channel)
  }
  const name = `listen({ fd }), stream over ${target}`
  return { name, opener: 'listen', type: 'stream', target: 'fd', base, open }
}

/** A datagram socket that is bound by `ours` or by `theirs`, and one that is connected to it. */
async function datagrams(
  ours: Options,
  theirs: Options,
  opener: 'bind' | 'connect',
): Promise<Pair> {
  const [server, client] = opener === 'bind' ? [ours, theirs] : [theirs, ours]
  const bound = track((await bind(path(), server)) as unknown as Channel)
  const other = track((await connect(bound.localAddress as string, client)) as unknown as Channel)
  const to = { to: other.localAddress as string }
  return opener === 'bind'
    ? { ours: bound, theirs: other, toOurs: {}, toTheirs: to }
    : { ours: other, theirs: bound, toOurs: to, toTheirs: {} }
}

function overDatagrams(opener: 'bind' | 'connect'): Cell {
  const base = BASES.dgram
  const open = (options: Options) =>
    datagrams({ ...base, ...options }, peerOptions('dgram', 'unix'), opener)
  return { name: `${opener}, dgram over unix`, opener, type: 'dgram', target: 'unix', base, open }
}

/** A bound socket that is passed in. */
function givenSocket(): Cell {
  const base = BASES.dgram
  const open = async (options: Options) => {
    const given = await bind(path(), base)
    const fd = given.detach()
    try {
      const ours = track((await bind({ fd }, { ...base, ...options })) as unknown as Channel)
      const to = ours.localAddress as string
      const theirs = track(
        (await connect(to, peerOptions('dgram', 'unix') as never)) as unknown as Channel,
      )
      return { ours, theirs, toOurs: {}, toTheirs: { to: theirs.localAddress as string } }
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }
  const name = 'bind({ fd }), dgram over unix'
  return { name, opener: 'bind', type: 'dgram', target: 'fd', base, open }
}

function ofPair(type: Type): Cell {
  const base = BASES[type]
  const open = async (options: Options) => {
    const [ours, theirs] = pair({ ...base, ...options }) as unknown as [Channel, Channel]
    const fd = theirs.detach()
    const peer = adopt(fd, peerOptions(type, 'unix') as never) as unknown as Channel
    return connection(track(ours), track(peer))
  }
  return { name: `pair, ${type}`, opener: 'pair', type, target: 'unix', base, open }
}

function adopted(type: Type, target: 'unix' | 'tcp'): Cell {
  const base = BASES[type]
  const open = async (options: Options) => {
    const given: Pair =
      target === 'tcp'
        ? await connected(LOOPBACK, base, base, 'connect')
        : await ofPair(type).open({})
    const fd = given.ours.detach()
    try {
      const ours = adopt(fd, { ...base, ...options }) as unknown as Channel
      return { ...given, ours: track(ours) }
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }
  return { name: `adopt, ${type} over ${target}`, opener: 'adopt', type, target, base, open }
}

function overDuplex(): Cell {
  const { type: _, ...base } = BASES.stream
  const open = async (options: Options) => {
    const listener = await listening(path(), peerOptions('stream', 'unix'))
    const socket = netConnect(listener.address as string)
    const [theirs] = await Promise.all([acceptNext(listener), once(socket, 'connect')])
    try {
      return connection(track(over(socket, { ...base, ...options }) as unknown as Channel), theirs)
    } catch (error) {
      socket.destroy()
      throw error
    }
  }
  return { name: 'over', opener: 'over', type: 'stream', target: 'unix', base, open }
}

/** Every function over every kind of socket that it has. */
export const CELLS: Cell[] = [
  overDatagrams('bind'),
  overDatagrams('connect'),
  givenSocket(),
  overSocket('connect', 'stream', 'unix'),
  overSocket('connect', 'stream', 'tcp'),
  overSocket('connect', 'seqpacket', 'unix'),
  overSocket('listen', 'stream', 'unix'),
  overSocket('listen', 'stream', 'tcp'),
  overSocket('listen', 'seqpacket', 'unix'),
  givenListener('unix'),
  givenListener('tcp'),
  ofPair('stream'),
  ofPair('seqpacket'),
  ofPair('dgram'),
  adopted('stream', 'unix'),
  adopted('stream', 'tcp'),
  adopted('seqpacket', 'unix'),
  adopted('dgram', 'unix'),
  overDuplex(),
]
