import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '#native'
import { type Address, encodeAddress } from './address.js'
import { Channel } from './channel.js'
import { timeoutError } from './consumers.js'
import { abortError, FdwireError, systemError } from './errors.js'
import { environment } from './native.js'
import {
  type BindOptions,
  type ChannelOptions,
  type CheckedOptions,
  type ConnectOptions,
  checkOptions,
  type Protocol,
} from './options.js'

/** What the messages of a protocol are. */
// biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives is any, and here too
export type ValueOf<P extends Protocol> = P extends 'raw' ? Buffer : any

/** The pauses between attempts to get the lock on a path's directory: the first and the longest (ms). */
const RETRY_FIRST = 2
const RETRY_LONGEST = 50

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
export async function bind<P extends Protocol>(
  address: Address,
  options: BindOptions<P>,
): Promise<Channel<ValueOf<P>>> {
  const checked = checkOptions('bind', options)
  const name = encodeAddress(address, 'The address')
  const { mode, unlink, signal, timeout } = checked
  const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout
  for (let pause = RETRY_FIRST; ; pause = Math.min(pause * 2, RETRY_LONGEST)) {
    if (signal?.aborted) throw abortError(signal)
    const outcome = environment.bind(name, mode, unlink || 'never', checked.native)
    if (outcome.channel >= 0 || outcome.errno !== 0) return open(outcome, checked, address)
    if (performance.now() >= deadline) {
      throw timeoutError(`bind: no lock on the directory of ${address}`, timeout)
    }
    // Not all who wait shall wake at once.
    await sleep(pause * (0.5 + Math.random()))
  }
}

/**
 * Connects a datagram socket to an address: messages go there and come from there only.
 *
 * It gets an abstract name of the kernel's choice, so that the peer can answer.
 *
 * # Errors
 * ENOENT, ECONNREFUSED when nobody has the socket open any more, EPROTOTYPE when it is of another
 * type, EACCES …; ERR_FDWIRE_BAD_ADDRESS.
 */
export async function connect<P extends Protocol>(
  address: Address,
  options: ConnectOptions<P>,
): Promise<Channel<ValueOf<P>>> {
  const checked = checkOptions('connect', options)
  const name = encodeAddress(address, 'The address')
  if (name.length === 0) {
    throw new FdwireError('ERR_FDWIRE_BAD_ADDRESS', 'The address is empty: nobody has that name')
  }
  const { localAddress = '', signal } = checked
  const local = localAddress === null ? null : encodeAddress(localAddress, 'localAddress')
  if (signal?.aborted) throw abortError(signal)
  return open(environment.connect(name, local, checked.native), checked, address)
}

/**
 * Makes two channels that are connected with each other: one for a child process, say.
 *
 * # Errors
 * EMFILE, ENFILE.
 */
export function pair<P extends Protocol>(
  options: ChannelOptions<P>,
): [Channel<ValueOf<P>>, Channel<ValueOf<P>>] {
  const checked = checkOptions('pair', options)
  const [first, second] = environment.pair(checked.native) as [Outcome, Outcome]
  return [open(first, checked), open(second, checked)]
}

/**
 * Makes a channel of a socket that this process was given, by its descriptor's number.
 *
 * The channel owns the descriptor from then on; where this throws it is still the caller's. Its
 * O_NONBLOCK stays as it is: that is shared with every other process that has the socket.
 *
 * # Errors
 * ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET, EBADF.
 */
export function adopt<P extends Protocol>(
  fd: number,
  options: ChannelOptions<P>,
): Channel<ValueOf<P>> {
  const checked = checkOptions('adopt', options)
  if (typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0) {
    throw new TypeError('adopt takes the number of a descriptor')
  }
  const { errno, unix, dgram, listening } = environment.describe(fd)
  if (errno !== 0) {
    const error = systemError(errno, 'getsockopt')
    if (error.code !== 'ENOTSOCK') throw error
    throw new FdwireError('ERR_FDWIRE_NOT_A_SOCKET', `Descriptor ${fd} is no socket`, {
      cause: error,
    })
  }
  if (!unix || !dgram || listening) {
    throw new FdwireError(
      'ERR_FDWIRE_WRONG_SOCKET',
      `Descriptor ${fd} is no Unix datagram socket, which ${checked.protocol} over dgram needs`,
    )
  }
  return open(environment.adopt(fd, checked.native), checked)
}

function open<V>(outcome: Outcome, checked: CheckedOptions, address?: Address): Channel<V> {
  const { channel, errno, syscall } = outcome
  if (channel >= 0) return new Channel<V>(channel, checked)
  const path = typeof address === 'string' ? address : address && Buffer.from(address)
  throw systemError(errno, syscall, path === undefined ? {} : { path })
}
