import {
  type ChannelOptions,
  type CodecOptions,
  type ConnectOptions,
  checkCallOptions,
  checkChannel,
  type ListenOptions,
} from '../../options/check.js'
import { checkInteger } from '../../util/checks.js'

/** Options of `Codec`: `lenient` (false) and `maxMessage` (bytes, 16 MiB). */
export type UdsCodecOptions = Pick<CodecOptions<'uds_comms', 'text'>, 'lenient' | 'maxMessage'>

/** Options of `over`. */
export interface UdsOverOptions {
  /** How long the peer may take for its half of the handshake (ms, 10,000; 0: no limit). */
  handshakeTimeout?: number | undefined
}

/** Options of every connection. */
type ConnectionOptions = UdsCodecOptions &
  UdsOverOptions &
  Pick<ChannelOptions<'uds_comms', 'text'>, 'maxQueued' | 'busyPoll'>

/**
 * Options of `UdsServer.listen`. `timeout` (ms, 10,000; 0: no limit) and `signal` apply to the wait
 * for the lock on the path's directory.
 */
export type UdsServerOptions = ConnectionOptions &
  Pick<
    ListenOptions<'uds_comms', 'text'>,
    'mode' | 'unlink' | 'backlog' | 'allowPeer' | 'timeout' | 'signal'
  >

/**
 * Options of `UdsClient.connect`. `timeout` (ms, 10,000; 0: no limit) applies to the whole call,
 * including the handshake.
 */
export type UdsClientOptions = ConnectionOptions &
  Pick<ConnectOptions<'uds_comms', 'text'>, 'timeout' | 'signal'>

const CONNECTION = ['lenient', 'maxMessage', 'maxQueued', 'busyPoll', 'handshakeTimeout']
const HANDSHAKE_TIMEOUT = 10_000

/**
 * Options of every channel of this module.
 *
 * `allowHalfOpen` is set because a peer that has ended its own side may still read. If it does not,
 * the kernel reports EPIPE.
 */
export const CHANNEL = { protocol: 'uds_comms', encoding: 'text', allowHalfOpen: true } as const

/**
 * Checks the options of `UdsServer.listen`. `rest` of the result are those that `listen` checks.
 */
export function checkServerOptions(options: UdsServerOptions) {
  const names = [...CONNECTION, 'mode', 'unlink', 'backlog', 'allowPeer', 'timeout', 'signal']
  checkCallOptions('UdsServer.listen', options, names)
  return split(options)
}

/**
 * Checks the options of `UdsClient.connect`. `rest` of the result are those that `connect` checks.
 */
export function checkClientOptions(options: UdsClientOptions) {
  checkCallOptions('UdsClient.connect', options, [...CONNECTION, 'timeout', 'signal'])
  return split(options)
}

/**
 * Checks the arguments of `over` and returns `handshakeTimeout` (ms; 0: no limit). `more` lists
 * further options, whose values the caller checks.
 */
export function checkOver(
  call: string,
  channel: unknown,
  options: UdsOverOptions,
  more: readonly string[] = [],
): number {
  checkCallOptions(call, options, ['handshakeTimeout', ...more])
  checkChannel(call, channel, 'uds_comms')
  return handshakeTimeoutOf(options)
}

function split<O extends UdsOverOptions>(options: O) {
  const { handshakeTimeout, ...rest } = options
  return { handshakeTimeout: handshakeTimeoutOf({ handshakeTimeout }), rest }
}

function handshakeTimeoutOf({ handshakeTimeout }: UdsOverOptions): number {
  return checkInteger('handshakeTimeout', handshakeTimeout, HANDSHAKE_TIMEOUT, 0)
}
