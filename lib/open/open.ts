import type { Outcome, PathOptions } from '#native'
import { Channel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import {
  type Address,
  encodeAddress,
  isTcp,
  printableAddress,
  type TcpAddress,
} from '../options/address.js'
import {
  type BindOptions,
  type ChannelOptions,
  type CheckedOptions,
  type ConnectOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type Protocol,
  type ProtocolOver,
  type ValueOf,
} from '../options/check.js'
import { FdwireError, systemError } from '../util/errors.js'
import { connectTcp } from './connect-tcp.js'
import { retry } from './retry.js'

/**
 * Binds a datagram socket to an address, to receive from anybody and answer by `send(…, { to })`.
 *
 * The address is a path, `'\0'` and an abstract name, or `''` for an abstract name of the kernel's
 * choice. A path gets the permissions `mode` whatever the umask is, and is removed at `close()`.
 *
 * # Errors
 * EADDRINUSE for a path that somebody has open, EEXIST for what is no socket, EACCES, ENOENT …;
 * ERR_FDWIRE_BAD_ADDRESS; ERR_FDWIRE_TIMEOUT when others hold the lock on the directory.
 */
export async function bind<
  P extends ProtocolOver<'dgram'>,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
>(address: Address, options: BindOptions<P, E>): Promise<Channel<ValueOf<P, E>>> {
  const checked = checkOptions('bind', options, address)
  const name = encodeAddress(address, 'The address')
  const outcome = await retry(checked, lockOn('bind', address), () =>
    environment.bind(name, pathOptions(checked), checked),
  )
  return open(outcome, checked, address)
}

/**
 * Connects to an address: messages go there and come from there only.
 *
 * A stream goes to a path, to `'\0'` and an abstract name, or to `{ host, port }` over TCP. A datagram
 * socket gets an abstract name of the kernel's choice, so that the peer can answer, or `localAddress`:
 * a path of its own is treated as that of `bind` is.
 *
 * # Errors
 * ENOENT, ECONNREFUSED when nobody listens or has the socket open any more, EPROTOTYPE when it is of
 * another type, EACCES, ENOTFOUND for a host …; ERR_FDWIRE_BAD_ADDRESS; ERR_FDWIRE_TIMEOUT.
 */
export async function connect<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  address: Address | TcpAddress,
  options: ConnectOptions<P, E>,
): Promise<Channel<ValueOf<P, E>>> {
  const checked = checkOptions('connect', options, address)
  if (isTcp(address)) return new Channel(await connectTcp(address, checked), checked)
  const name = encodePeer(address)
  return checked.type === 'dgram'
    ? connectDatagram(address, name, checked)
    : connectUnix(address, name, checked)
}

/**
 * Makes two channels that are connected with each other: one for a child process, say.
 *
 * # Errors
 * EMFILE, ENFILE.
 */
export function pair<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  options: ChannelOptions<P, E>,
): [Channel<ValueOf<P, E>>, Channel<ValueOf<P, E>>] {
  const checked = checkOptions('pair', options)
  const outcomes = environment.pair(checked.type, checked)
  const [first, second] = outcomes as [Outcome, Outcome]
  return [open(first, checked), open(second, checked)]
}

/** The Unix address of a peer as the kernel is to get it. */
export function encodePeer(address: unknown): Uint8Array {
  const name = encodeAddress(address, 'The address', '{ host, port }')
  if (name.length > 0) return name
  throw new FdwireError('ERR_FDWIRE_BAD_ADDRESS', 'The address is empty: nobody has that name')
}

/** What becomes of a path, as native code gets it. */
export function pathOptions({ mode, unlink }: CheckedOptions): PathOptions {
  return { mode, unlink: unlink || 'never' }
}

/** What is not to be had while others bind in the directory of a path. */
export function lockOn(call: string, path: Address): string {
  const where = `the directory of ${printableAddress(path)}`
  return `${call}: others kept the lock on ${where}: it was not to be had`
}

/** The channel's or listener's index, or why there is none. */
export function indexOf({ channel, errno, syscall }: Outcome, address?: Address): number {
  if (channel >= 0) return channel
  const path = typeof address === 'string' ? address : address && Buffer.from(address)
  throw systemError(errno, syscall, path === undefined ? {} : { path })
}

async function connectDatagram<V>(
  address: Address,
  name: Uint8Array,
  checked: CheckedOptions,
): Promise<Channel<V>> {
  const { localAddress = '' } = checked
  const local = localAddress === null ? null : encodeAddress(localAddress, 'localAddress')
  const outcome = await retry(checked, lockOn('connect', localAddress ?? ''), () =>
    environment.connectDatagram(name, local, pathOptions(checked), checked),
  )
  // Whatever fails behind the call to connect is about its own name.
  const isOwn = local !== null && outcome.syscall !== 'connect' && outcome.syscall !== 'socket'
  return open(outcome, checked, isOwn ? localAddress || address : address)
}

async function connectUnix<V>(
  address: Address,
  name: Uint8Array,
  checked: CheckedOptions,
): Promise<Channel<V>> {
  const { localAddress } = checked
  const local = localAddress ? encodeAddress(localAddress, 'localAddress') : null
  const full = `connect: the backlog of ${printableAddress(address)} was full`
  const type = checked.type as 'stream' | 'seqpacket'
  const outcome = await retry(checked, full, () =>
    environment.connectUnix(type, name, local, checked),
  )
  return open(outcome, checked, outcome.syscall === 'bind' ? (localAddress ?? address) : address)
}

function open<V>(outcome: Outcome, checked: CheckedOptions, address?: Address): Channel<V> {
  return new Channel<V>(indexOf(outcome, address), checked)
}
