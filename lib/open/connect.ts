import { statSync } from 'node:fs'
import { constants } from 'node:os'
import { type Channel, makeChannel } from '../channel/channel.js'
import type { Reopening } from '../channel/reconnection.js'
import { environment, tryConnect } from '../native/environment.js'
import { flushSoon } from '../native/gather.js'
import { type Address, encodeAddress, isTcp, type TcpAddress } from '../options/address.js'
import {
  type CheckedOptions,
  type ConnectOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type JsonOptions,
  type Protocol,
  type SendableOf,
  type ValueOf,
} from '../options/check.js'
import { FdwireError, systemError } from '../util/errors.js'
import { connectTcp } from './connect-tcp.js'
import { openUnix } from './open-unix.js'

/**
 * Connects to an address. The channel sends only to it and receives only from it.
 *
 * The address is a path, `'\0'` and an abstract name, or, for streams, `{ host, port }` over TCP. A
 * datagram socket is bound to `localAddress`, by default to an abstract name that the kernel
 * chooses, so that the peer can answer. `mode` and `unlink` apply to a path in `localAddress`.
 *
 * # Errors
 * ENOENT; ECONNREFUSED if no process listens at the address or has its socket open; EPROTOTYPE for
 * a socket of another type; EACCES; ENOTFOUND for an unknown host; those of `bind` for
 * `localAddress`;
 * ERR_FDWIRE_BAD_ADDRESS; ERR_FDWIRE_TIMEOUT; AbortError.
 */
export function connect<Receives, Sends = Receives>(
  address: Address | TcpAddress,
  options: JsonOptions<'connect'>,
): Promise<Channel<Receives, Sends>>
export function connect<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  address: Address | TcpAddress,
  options: ConnectOptions<P, E>,
): Promise<Channel<ValueOf<P, E>, SendableOf<P, E>>>
export async function connect(
  address: Address | TcpAddress,
  options: ConnectOptions,
): Promise<Channel> {
  const checked = checkOptions('connect', options, address)
  const index = isTcp(address)
    ? await connectTcp(address, checked)
    : (connectAtOnce(address, checked) ?? (await connectUnix(address, checked)))
  return makeChannel(index, checked, undefined, reopeningOf(address, checked))
}

/** Returns how a channel gets its next connection; undefined without the option `reconnect`. */
function reopeningOf(
  address: Address | TcpAddress,
  checked: CheckedOptions,
): Reopening | undefined {
  const { reconnect: options, type } = checked
  if (options === undefined) return undefined
  const open = (signal: AbortSignal) =>
    isTcp(address)
      ? connectTcp(address, { ...checked, signal })
      : connectUnix(address, { ...checked, signal })
  const findLoss = type === 'dgram' ? lossOf(address as Address) : undefined
  return { options, open, findLoss }
}

/**
 * Returns a function that returns the error of a peer which has closed its datagram socket, or
 * whose path belongs to another socket now.
 */
function lossOf(peer: Address): () => Error | undefined {
  const name = encodePeer(peer)
  const path = typeof peer === 'string' ? peer : Buffer.from(name)
  const isPath = name[0] !== 0
  const fileOf = () => {
    const found = isPath ? statSync(path, { bigint: true, throwIfNoEntry: false }) : undefined
    return found && `${found.dev} ${found.ino} ${found.ctimeNs}`
  }
  let known = fileOf()
  return () => {
    const current = fileOf()
    const isRemoved = isPath && current === undefined
    const isReplaced = known !== undefined && current !== known
    known = current
    if (!isRemoved && !isReplaced && environment.hasReceiver(name)) return undefined
    return systemError(-constants.errno.ECONNREFUSED, 'connect', { path })
  }
}

/**
 * Checks the Unix address of a peer, and returns its bytes.
 *
 * # Errors
 * TypeError; ERR_FDWIRE_BAD_ADDRESS, ERR_FDWIRE_ILL_FORMED_TEXT.
 */
export function encodePeer(address: unknown): Uint8Array {
  const name = encodeAddress(address, 'The address', '{ host, port }')
  if (name.length > 0) return name
  throw new FdwireError(
    'ERR_FDWIRE_BAD_ADDRESS',
    'The address of a peer must not be empty: no socket has an empty address',
  )
}

/** The last path or abstract name that was checked. Most programs connect to the same ones. */
let lastPeer: string | undefined

/**
 * Fast path: makes one attempt to connect a Unix stream socket that is not bound.
 *
 * Returns the index of its channel. Returns undefined if the attempt fails or the socket is of
 * another kind: `connectUnix` retries and reports errors.
 */
function connectAtOnce(peer: Address, checked: CheckedOptions): number | undefined {
  const { type, localAddress, signal } = checked
  if (type !== 'stream' || localAddress || signal !== undefined) return undefined
  if (peer !== lastPeer) {
    encodePeer(peer)
    lastPeer = typeof peer === 'string' ? peer : undefined
  }
  const index = tryConnect(peer, checked)
  if (index < 0) return undefined
  flushSoon()
  return index
}

/** Connects a Unix socket. Returns the index of its channel. */
function connectUnix(peer: Address, checked: CheckedOptions): Promise<number> {
  const name = encodePeer(peer)
  const { type } = checked
  if (type === 'dgram') {
    const { localAddress = '' } = checked
    const own = localAddress === null ? null : encodeAddress(localAddress, 'localAddress')
    return openUnix('connect', { peer, local: localAddress ?? '' }, checked, path =>
      environment.connectDatagram(name, own, path, checked),
    )
  }
  const local = checked.localAddress || undefined
  const own = local === undefined ? null : encodeAddress(local, 'localAddress')
  return openUnix('connect', { peer, local }, checked, path =>
    environment.connectUnix(type, name, own, path, checked),
  )
}
