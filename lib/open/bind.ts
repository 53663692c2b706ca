import { type Channel, makeChannel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import { type Address, encodeBound } from '../options/address.js'
import {
  type BindOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type JsonOptions,
  type ProtocolOver,
  type SendableOf,
  type ValueOf,
} from '../options/check.js'
import { openUnix } from './open-unix.js'

/**
 * Binds a datagram socket to an address. It receives from every sender, and sends with `{ to }`.
 *
 * The address is a path, `'\0'` and an abstract name, or null for an abstract name that the kernel
 * chooses. A path gets the permissions `mode` regardless of the umask, and is removed by `close()`.
 *
 * # Errors
 * EADDRINUSE for the path of a socket that a process has open, EEXIST for a path that is not a
 * socket, EACCES, ENOENT …; ERR_FDWIRE_BAD_ADDRESS; ERR_FDWIRE_TIMEOUT if other processes hold the
 * lock on the directory; AbortError.
 */
export function bind<Receives, Sends = Receives>(
  address: Address | null,
  options: JsonOptions<'bind'>,
): Promise<Channel<Receives, Sends>>
export function bind<
  P extends ProtocolOver<'dgram'>,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
>(
  address: Address | null,
  options: BindOptions<P, E>,
): Promise<Channel<ValueOf<P, E>, SendableOf<P, E>>>
export async function bind(address: Address | null, options: BindOptions): Promise<Channel> {
  const checked = checkOptions('bind', options, address)
  const name = encodeBound(address, 'The address')
  const index = await openUnix('bind', { local: address ?? '' }, checked, path =>
    environment.bind(name, path, checked),
  )
  return makeChannel(index, checked)
}
