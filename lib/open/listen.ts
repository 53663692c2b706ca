import type { Channel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import type { ListenFd, TcpAddress } from '../options/address.js'
import {
  type Address,
  checkListenFd,
  checkTcp,
  encodeAddress,
  isListenFd,
  isTcp,
} from '../options/address.js'
import {
  type CheckedOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type ListenOptions,
  type Protocol,
  type ValueOf,
} from '../options/check.js'
import { abortError } from '../util/errors.js'
import { checkDescriptor, checkUnowned, describeSocket } from './adopt.js'
import { resolve, tcpSettings } from './connect-tcp.js'
import { Listener } from './listener.js'
import { indexOf, lockOn, pathOptions } from './open.js'
import { retry } from './retry.js'

/**
 * Listens for connections, each of which becomes a channel.
 *
 * The address is a path, `'\0'` and an abstract name, `''` for an abstract name of the kernel's
 * choice, `{ host, port }` for TCP, or `{ fd }` for a listening socket that this process was given
 * (systemd's LISTEN_FDS begin at 3). A path gets the permissions `mode` whatever the umask is, and is
 * removed at `close()`.
 *
 * # Errors
 * EADDRINUSE for what somebody listens on, EEXIST for what is no socket, EACCES, ENOENT …;
 * ERR_FDWIRE_BAD_ADDRESS; ERR_FDWIRE_TIMEOUT when others hold the lock on the directory;
 * ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET for a descriptor.
 */
export async function listen<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  address: Address | TcpAddress | ListenFd,
  options: ListenOptions<P, E>,
): Promise<Listener<Channel<ValueOf<P, E>>>> {
  const checked = checkOptions('listen', options, address)
  if (checked.signal?.aborted) throw abortError(checked.signal)
  if (isListenFd(address)) return listenOn(address, options, checked)
  if (isTcp(address)) return listenTcp(address, checked)
  const name = encodeAddress(address, 'The address', '{ host, port } or { fd }')
  const type = checked.type as 'stream' | 'seqpacket'
  const outcome = await retry(checked, lockOn('listen', address), () =>
    environment.listen(type, name, checked.backlog, pathOptions(checked), checked),
  )
  return new Listener(indexOf(outcome, address), checked)
}

async function listenTcp<C extends Channel>(
  address: TcpAddress,
  checked: CheckedOptions,
): Promise<Listener<C>> {
  const { host, port } = checkTcp(address, 'The address')
  const [first = host] = await resolve(host)
  const { backlog } = checked
  const outcome = environment.listenTcp(first, port, backlog, tcpSettings(checked), checked)
  return new Listener(indexOf(outcome, `${host}:${port}`), checked)
}

/** @internal Accepts connections on a listening socket that this process was given. */
export function listenOn<C extends Channel>(
  address: ListenFd,
  options: object,
  asked: CheckedOptions,
): Listener<C> {
  const fd = checkListenFd(address)
  checkDescriptor('listen', fd)
  checkUnowned('listen', fd)
  const { protocol, type } = asked
  const { family } = describeSocket(
    fd,
    `${protocol} over ${type} needs a listening ${type} socket`,
    found => found.type === type && found.listening,
  )
  const checked = checkOptions('listen', options, address, family)
  return new Listener(indexOf(environment.adoptListener(fd, checked)), checked)
}
