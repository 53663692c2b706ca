import { type Channel, makeChannel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import {
  type Address,
  checkListenFd,
  decodeSocketAddress,
  encodeBound,
  isListenFd,
  type ListenFd,
} from '../options/address.js'
import {
  type BindOptions,
  type CheckedOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type JsonOptions,
  type ProtocolOver,
  type SendableOf,
  type ValueOf,
} from '../options/check.js'
import { abortError, FdwireError } from '../util/errors.js'
import { checkDescriptor, checkUnowned, describeSocket } from './adopt.js'
import { openUnix } from './open-unix.js'

/**
 * Binds a datagram socket to an address. It receives from every sender, and sends with `{ to }`.
 *
 * The address is a path, `'\0'` and an abstract name, null for an abstract name that the kernel
 * chooses, or `{ fd }` for a bound socket that this process was given (those of systemd's LISTEN_FDS
 * begin at 3). A path gets the permissions `mode` regardless of the umask, and is removed by
 * `close()`; that of `{ fd }` stays.
 *
 * # Errors
 * EADDRINUSE for the path of a socket that a process has open, EEXIST for a path that is not a
 * socket, EACCES, ENOENT …; ERR_FDWIRE_BAD_ADDRESS; ERR_FDWIRE_TIMEOUT if other processes hold the
 * lock on the directory; AbortError; ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET for a
 * descriptor.
 */
export function bind<Receives, Sends = Receives>(
  address: Address | ListenFd | null,
  options: JsonOptions<'bind'>,
): Promise<Channel<Receives, Sends>>
export function bind<
  P extends ProtocolOver<'dgram'>,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
>(
  address: Address | ListenFd | null,
  options: BindOptions<P, E>,
): Promise<Channel<ValueOf<P, E>, SendableOf<P, E>>>
export async function bind(
  address: Address | ListenFd | null,
  options: BindOptions,
): Promise<Channel> {
  const checked = checkOptions('bind', options, address)
  if (isListenFd(address)) return bindOn(address, checked)
  const name = encodeBound(address, 'The address', '{ fd }')
  const index = await openUnix('bind', { local: address ?? '' }, checked, path =>
    environment.bind(name, path, checked),
  )
  return makeChannel(index, checked)
}

/** Makes a channel of a bound datagram socket that this process was given. */
function bindOn(address: ListenFd, checked: CheckedOptions): Channel {
  const { protocol, signal } = checked
  if (signal?.aborted) throw abortError(signal)
  const fd = checkListenFd(address)
  checkDescriptor('bind', fd)
  checkUnowned('bind', fd)
  describeSocket(
    fd,
    `bind for ${protocol} needs a Unix datagram socket`,
    ({ family, type }) => family === 'unix' && type === 'dgram',
  )
  const index = environment.adoptDatagram(fd, checked)
  if (decodeSocketAddress(environment.localAddress(index)) !== null) {
    return makeChannel(index, checked)
  }
  environment.detach(index)
  throw new FdwireError(
    'ERR_FDWIRE_WRONG_SOCKET',
    `Descriptor ${fd} is a unix-dgram without an address, to which nobody can send: use adopt()`,
  )
}
