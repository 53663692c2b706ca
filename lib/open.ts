import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '#native'
import { type Address, encodeAddress, printableAddress } from './address.js'
import { Channel } from './channel.js'
import { timeoutError } from './consumers.js'
import { abortError, FdwireError, systemError } from './errors.js'
import { isDescriptor, MAX_FD } from './fdset-entries.js'
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
  const { mode, unlink, native } = checked
  const outcome = await unlocked('bind', address, checked, () =>
    environment.bind(name, mode, unlink || 'never', native),
  )
  return open(outcome, checked, address)
}

/**
 * Connects a datagram socket to an address: messages go there and come from there only.
 *
 * It gets an abstract name of the kernel's choice, so that the peer can answer, or `localAddress`:
 * a path of its own is treated as that of `bind` is.
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
  const { localAddress = '', mode, unlink, native } = checked
  const local = localAddress === null ? null : encodeAddress(localAddress, 'localAddress')
  const outcome = await unlocked('connect', localAddress ?? '', checked, () =>
    environment.connect(name, local, mode, unlink || 'never', native),
  )
  // Whatever fails behind the call to connect is about its own name.
  const isOwn = local !== null && outcome.syscall !== 'connect' && outcome.syscall !== 'socket'
  return open(outcome, checked, isOwn ? localAddress || address : address)
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
 * ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET, EBADF where it is not open.
 */
export function adopt<P extends Protocol>(
  fd: number,
  options: ChannelOptions<P>,
): Channel<ValueOf<P>> {
  const checked = checkOptions('adopt', options)
  checkDescriptor(fd)
  checkUnowned(fd)
  const { errno, unix, dgram, listening } = environment.describe(fd)
  const needed = `${checked.protocol} over dgram needs a Unix datagram socket`
  if (errno !== 0) throw notASocket(fd, errno, needed)
  if (!unix || !dgram || listening) {
    throw new FdwireError(
      'ERR_FDWIRE_WRONG_SOCKET',
      `Descriptor ${fd} is a ${environment.kindOf(fd)}: ${needed}`,
    )
  }
  return open(environment.adopt(fd, checked.native), checked)
}

function checkDescriptor(fd: unknown): asserts fd is number {
  if (typeof fd === 'number') {
    if (isDescriptor(fd)) return
    throw new RangeError(
      `adopt takes the number of a descriptor, an integer from 0 to ${MAX_FD}, not ${fd}`,
    )
  }
  if (fd instanceof Socket) {
    throw new TypeError(
      'adopt takes the number of a descriptor, not a net.Socket: that is a stream, never a datagram socket',
    )
  }
  const given = fd === null ? 'null' : typeof fd
  throw new TypeError(`adopt takes the number of a descriptor, not ${given}`)
}

/** Two owners would both close it, and the second one somebody else's. */
function checkUnowned(fd: number): void {
  const owner = environment.ownerOf(fd)
  if (owner === '') return
  const how =
    owner === 'FdSet' ? 'an FdSet: take(i) gives it away' : 'a channel: detach() gives it away'
  throw new TypeError(`adopt: descriptor ${fd} belongs to ${how}`)
}

/** The error for a descriptor that `describe` could not describe. */
function notASocket(fd: number, errno: number, needed: string): Error {
  const cause = systemError(errno, 'getsockopt')
  const kind = environment.kindOf(fd)
  if (typeof kind === 'string' && (cause.code === 'ENOTSOCK' || kind === 'path')) {
    const hint =
      kind === 'pipe' || kind === 'tty' ? ' (a pipe or terminal goes through over())' : ''
    return new FdwireError(
      'ERR_FDWIRE_NOT_A_SOCKET',
      `Descriptor ${fd} is no socket, its kind is ${kind}: ${needed}${hint}`,
      { cause },
    )
  }
  cause.message += `: descriptor ${fd}`
  return cause
}

/** Tries again and again while others hold the lock on the directory of `path`. */
async function unlocked(
  call: string,
  path: Address,
  { signal, timeout }: CheckedOptions,
  attempt: () => Outcome,
): Promise<Outcome> {
  const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout
  for (let pause = RETRY_FIRST; ; pause = Math.min(pause * 2, RETRY_LONGEST)) {
    if (signal?.aborted) throw abortError(signal)
    const outcome = attempt()
    if (outcome.channel >= 0 || outcome.errno !== 0) return outcome
    const left = deadline - performance.now()
    if (left <= 0) {
      const where = `the directory of ${printableAddress(path)}`
      throw timeoutError(`${call}: others kept the lock on ${where}: it was not to be had`, timeout)
    }
    // Not all who wait shall wake at once.
    await pauseFor(Math.min(pause * (0.5 + Math.random()), left), signal)
  }
}

/** Waits for some time (ms), or until the signal is aborted: the caller looks at it anyway. */
async function pauseFor(time: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(time, undefined, signal === undefined ? {} : { signal }).catch(() => {})
}

function open<V>(outcome: Outcome, checked: CheckedOptions, address?: Address): Channel<V> {
  const { channel, errno, syscall } = outcome
  if (channel >= 0) return new Channel<V>(channel, checked)
  const path = typeof address === 'string' ? address : address && Buffer.from(address)
  throw systemError(errno, syscall, path === undefined ? {} : { path })
}
