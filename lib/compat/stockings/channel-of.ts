import type { Socket } from 'node:net'
import { Channel } from '../../channel/channel.js'
import { adopt } from '../../open/adopt.js'
import { checkCallOptions } from '../../options/check.js'
import { closedError } from '../../util/errors.js'
import type { Value } from './unread.js'

/** The channel that a `Stocking` is given, or one over the socket that it is given. */
export function channelOf(
  socket: Channel<Value> | Socket | number,
  options: object,
): Channel<Value> {
  if (!(socket instanceof Channel)) {
    if ('protocol' in options && options.protocol !== undefined) {
      throw new TypeError('Stocking has no option protocol: it is stockings')
    }
    return adopt(socket, { ...options, protocol: 'stockings' })
  }
  if (socket.protocol !== 'stockings') {
    throw new TypeError(`Stocking takes a channel of stockings, not of ${socket.protocol}`)
  }
  checkCallOptions('Stocking over a channel', options, ['handshakeTimeout', 'maxUnread'])
  if (socket.closed) throw closedError('Stocking')
  return socket
}
