import { Socket } from 'node:net'
import { Channel } from '../../channel/channel.js'
import { adopt, checkDescriptor } from '../../open/adopt.js'
import { checkCallOptions, checkChannel, checkFixedOptions } from '../../options/check.js'
import { closedError } from '../../util/errors.js'
import type { Value } from './types.js'

/**
 * Returns the channel that a `Stocking` wraps: `socket` itself, or the channel that adopts it.
 *
 * # Errors
 * TypeError, ERR_FDWIRE_CLOSED; those of `adopt`.
 */
export function channelOf(
  socket: Channel<Value> | Socket | number,
  options: object,
): Channel<Value> {
  if (!(socket instanceof Channel)) {
    checkFixedOptions('Stocking', options, { protocol: 'it is stockings' })
    if (!(socket instanceof Socket)) checkDescriptor('Stocking', socket)
    return adopt(socket, { ...options, protocol: 'stockings' })
  }
  checkChannel('Stocking', socket, 'stockings')
  checkCallOptions('Stocking over a channel', options, ['handshakeTimeout', 'maxUnread'])
  if (socket.closed) throw closedError('Stocking')
  return socket
}
