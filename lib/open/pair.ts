import { type Channel, makeChannel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import {
  type ChannelOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type JsonOptions,
  type Protocol,
  type SendableOf,
  type ValueOf,
} from '../options/check.js'

/**
 * Makes two channels that are connected to each other, for example one for a child process.
 *
 * # Errors
 * EMFILE, ENFILE.
 */
export function pair<Receives, Sends = Receives>(
  options: JsonOptions<'pair'>,
): [Channel<Receives, Sends>, Channel<Sends, Receives>]
export function pair<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  options: ChannelOptions<P, E>,
): [Channel<ValueOf<P, E>, SendableOf<P, E>>, Channel<ValueOf<P, E>, SendableOf<P, E>>]
export function pair(options: ChannelOptions): [Channel, Channel] {
  const checked = checkOptions('pair', options)
  const [first, second] = environment.pair(checked.type, checked)
  return [makeChannel(first, checked), makeChannel(second, checked)]
}
