import type { Channel } from '../../channel/channel.js'
import {
  type ChannelOptions,
  type CodecOptions,
  type ConnectOptions,
  checkCallOptions,
  type ListenOptions,
  type WaitOptions,
} from '../../options/check.js'
import { checkInteger, describeValue } from '../../util/checks.js'

/** Options of `Codec`: `lenient` (false), `maxMessage` (bytes, 16 MiB). */
export type UdsCodecOptions = Pick<CodecOptions<'uds_comms', 'text'>, 'lenient' | 'maxMessage'>

/** Options of `over`. */
export interface UdsOverOptions {
  /** How long the peer may take for its part of the handshake (ms, 10,000; 0: for ever). */
  handshakeTimeout?: number | undefined
}

type Framing = UdsCodecOptions &
  UdsOverOptions &
  Pick<ChannelOptions<'uds_comms', 'text'>, 'maxQueued'>

/** Options of `UdsServer.listen`; `timeout` (10,000) and `signal` are for the directory's lock. */
export type UdsServerOptions = Framing &
  Pick<
    ListenOptions<'uds_comms', 'text'>,
    'mode' | 'unlink' | 'backlog' | 'allowPeer' | 'timeout' | 'signal'
  >

/** Options of `UdsClient.connect`; `timeout` (10,000) is for all of it, the handshake included. */
export type UdsClientOptions = Framing &
  Pick<ConnectOptions<'uds_comms', 'text'>, 'timeout' | 'signal'>

const FRAMING = ['lenient', 'maxMessage', 'maxQueued', 'handshakeTimeout']
const HANDSHAKE_TIMEOUT = 10_000

/**
 * What all channels of this module are made with.
 *
 * Half-open: a peer that has ended its side may still listen, and the kernel is who tells of EPIPE.
 */
export const CHANNEL = { protocol: 'uds_comms', encoding: 'text', allowHalfOpen: true } as const

/** Checks the options of `UdsServer.listen`; what is left without ours is for `listen`. */
export function checkServerOptions(options: UdsServerOptions) {
  const names = [...FRAMING, 'mode', 'unlink', 'backlog', 'allowPeer', 'timeout', 'signal']
  checkCallOptions('UdsServer.listen', options, names)
  return split(options)
}

/** Checks the options of `UdsClient.connect`; what is left without ours is for `connect`. */
export function checkClientOptions(options: UdsClientOptions) {
  checkCallOptions('UdsClient.connect', options, [...FRAMING, 'timeout', 'signal'])
  return split(options)
}

/** Checks the options of `over`; the time for the handshake (ms). */
export function checkOver(call: string, channel: unknown, options: UdsOverOptions): number {
  checkCallOptions(call, options, ['handshakeTimeout'])
  if ((channel as Partial<Channel> | undefined)?.protocol !== 'uds_comms') {
    throw new TypeError(`${call} takes a channel of uds_comms, not ${describeValue(channel)}`)
  }
  return handshakeTimeoutOf(options)
}

/** Checks the options of `UdsClient.over`, which takes time. */
export function checkClientOver(
  channel: unknown,
  { timeout: _, signal: __, ...options }: UdsOverOptions & WaitOptions,
): number {
  return checkOver('UdsClient.over', channel, options)
}

function split<O extends UdsOverOptions>(options: O) {
  const { handshakeTimeout, ...rest } = options
  return { handshakeTimeout: handshakeTimeoutOf({ handshakeTimeout }), rest }
}

function handshakeTimeoutOf({ handshakeTimeout }: UdsOverOptions): number {
  return checkInteger('handshakeTimeout', handshakeTimeout, HANDSHAKE_TIMEOUT, 0)
}
