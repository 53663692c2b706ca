import type { Duplex } from 'node:stream'
import type { FdSource } from '../fds/borrow.js'
import type { FdSet } from '../fds/fdset.js'
import { checkChannel } from '../options/check.js'
import { type Channel, coreOf } from './channel.js'
import { ChannelDuplex, FdDuplex } from './duplex.js'

/**
 * A Duplex stream over a channel, as `toDuplex` returns it.
 *
 * The methods exist only if the channel's `maxFds` is not 0: libraries look for them to find out
 * whether a stream passes descriptors. The event `'fds'` has the descriptors that arrive, an array
 * of numbers, immediately before the bytes that they came with. They belong to the listener;
 * without a listener they are closed.
 */
export interface ChannelStream extends Duplex {
  /**
   * Writes bytes and sends duplicates of the descriptors with them, in order with all other writes.
   * Returns what `write` returns.
   *
   * The descriptors are duplicated at once, so the caller may close its own after the call.
   *
   * # Errors
   * ERR_FDWIRE_UNENCODABLE for descriptors without bytes; ERR_FDWIRE_TOO_MANY_FDS for more than
   * `maxFds`; ERR_FDWIRE_FD_GONE; EBADF, EMFILE; TypeError, RangeError. If it throws, nothing is
   * written.
   */
  writeWithFds?(bytes: string | ArrayBufferView, fds: FdSet | Iterable<FdSource>): boolean
  /**
   * Closes descriptors that came with `'fds'`, all or none.
   *
   * # Errors
   * EBADF for one that is not open, EBUSY for one that an FdSet or a channel owns; TypeError,
   * RangeError. If it throws, all of them stay open.
   */
  closeFds?(fds: Iterable<number>): void
}

/**
 * Makes a Duplex stream of Node over a `raw` channel, for a library that takes a stream.
 *
 * Back-pressure, `end`, half-close and errors are those of a `net.Socket`. The stream owns the
 * channel from now on: every other consumer fails with ERR_FDWIRE_CONSUMER_CONFLICT. It reads
 * nothing before the first read. A malformed chunk destroys it.
 *
 * # Errors
 * TypeError unless the channel is one of `raw` over a stream; ERR_FDWIRE_CONSUMER_CONFLICT if it
 * has a consumer: a `'message'` listener, an iteration, a waiting call, another stream;
 * ERR_FDWIRE_CLOSED, or the error that has closed it.
 */
export function toDuplex(channel: Channel<Buffer>): ChannelStream {
  checkChannel('toDuplex', channel, 'raw')
  if (channel.type !== 'stream') {
    throw new TypeError(`toDuplex takes a channel over a stream socket, not ${channel.type}`)
  }
  const core = coreOf(channel)
  core.lifecycle.checkError()
  core.lifecycle.checkOpen('toDuplex')
  return core.options.maxFds > 0 ? new FdDuplex(core) : new ChannelDuplex(core)
}
