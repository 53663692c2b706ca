import type { Channel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import {
  type Address,
  checkListenFd,
  checkTcp,
  encodeBound,
  isListenFd,
  isTcp,
  type ListenFd,
  type TcpAddress,
} from '../options/address.js'
import {
  type CheckedOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type JsonOptions,
  type ListenOptions,
  type Protocol,
  type SendableOf,
  type ValueOf,
} from '../options/check.js'
import { abortError, type SystemError, systemError, timeoutError } from '../util/errors.js'
import { checkDescriptor, checkUnowned, describeSocket } from './adopt.js'
import { resolveHost } from './connect-tcp.js'
import { type Listener, makeListener } from './listener.js'
import { openUnix } from './open-unix.js'

/**
 * Listens for connections. Each becomes a channel.
 *
 * The address is a path, `'\0'` and an abstract name, null for an abstract name that the kernel
 * chooses, `{ host, port }` for TCP, or `{ fd }` for a listening socket that this process was given
 * (those of systemd's LISTEN_FDS begin at 3). A path gets the permissions `mode` regardless of the
 * umask, and is removed by `close()`.
 *
 * O_NONBLOCK is set on the socket of `{ fd }`, for every process that shares it: without the flag,
 * accepting could block the event loop.
 *
 * # Errors
 * EADDRINUSE for the address of a listening socket, EEXIST for a path that is not a socket, EACCES,
 * ENOENT, ENOTFOUND for an unknown host; ERR_FDWIRE_BAD_ADDRESS; ERR_FDWIRE_TIMEOUT if other processes
 * hold the lock on the directory, or if the DNS lookup takes too long; AbortError;
 * ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET for a descriptor.
 */
export function listen<Receives, Sends = Receives>(
  address: Address | TcpAddress | ListenFd | null,
  options: JsonOptions<'listen'>,
): Promise<Listener<Channel<Receives, Sends>>>
export function listen<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  address: Address | TcpAddress | ListenFd | null,
  options: ListenOptions<P, E>,
): Promise<Listener<Channel<ValueOf<P, E>, SendableOf<P, E>>>>
export async function listen(
  address: Address | TcpAddress | ListenFd | null,
  options: ListenOptions,
): Promise<Listener> {
  const checked = checkOptions('listen', options, address)
  if (checked.signal?.aborted) throw abortError(checked.signal)
  if (isListenFd(address)) return listenOn(address, options, checked)
  const index = isTcp(address)
    ? await listenTcp(address, checked)
    : await listenUnix(address, checked)
  return makeListener(index, checked)
}

/**
 * Accepts connections on a listening socket that this process was given.
 *
 * # Errors
 * Those of `listen` for a descriptor.
 */
export function listenOn<C extends Channel>(
  address: ListenFd,
  options: object,
  { protocol, type }: CheckedOptions,
): Listener<C> {
  const fd = checkListenFd(address)
  checkDescriptor('listen', fd)
  checkUnowned('listen', fd)
  const { family } = describeSocket(
    fd,
    `${protocol} over ${type} needs a listening ${type} socket`,
    found => found.type === type && found.listening,
  )
  const checked = checkOptions('listen', options, address, family)
  return makeListener(environment.adoptListener(fd, checked), checked)
}

function listenUnix(address: Address | null, checked: CheckedOptions): Promise<number> {
  const name = encodeBound(address, 'The address', '{ host, port }', '{ fd }')
  const { backlog } = checked
  const type = checked.type as 'stream' | 'seqpacket'
  return openUnix('listen', { local: address ?? '' }, checked, path =>
    environment.listen(type, name, backlog, path, checked),
  )
}

async function listenTcp(address: TcpAddress, checked: CheckedOptions): Promise<number> {
  const { host, port } = checkTcp(address, 'The address')
  const { backlog, timeout } = checked
  const late = () => timeoutError(`listen: the host ${host} was not resolved`, timeout)
  const [first = host] = await resolveHost(host, checked, late)
  try {
    return environment.listenTcp(first, port, backlog, checked)
  } catch (error) {
    const { errno, syscall } = error as SystemError
    throw systemError(errno, syscall, { path: `${host}:${port}` })
  }
}
