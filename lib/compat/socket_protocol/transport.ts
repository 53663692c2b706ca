import type { FdwireError } from '../../util/errors.js'

/**
 * What carries bodies from one protocol object to another: the original's `comm_instance`.
 *
 * Anything with these eight members will do. A body is bytes with a border; how the border is kept
 * (stp on a stream, a datagram) is the transport's business.
 */
export interface Transport {
  /** Whether this side is the client, which begins to speak, and as which it proves itself. */
  readonly IS_CLIENT: boolean
  /** Is told the channel's name, for its own logs. */
  initChannelName(name: string | null): void
  /** Whether there is a connection. */
  isConnected(): boolean
  /** Ends the connection if there is one, and begins to look for another; whether one was made. */
  reconnect(): boolean | undefined | Promise<boolean | undefined>
  /**
   * Registers who gets each body. Where that gives a promise, the transport may hold the next body
   * until it is settled: so a peer that asks faster than it is answered is slowed down.
   */
  registerCallback(callback: (body: Uint8Array) => Promise<void> | undefined): void
  /** Registers who is told that there is a connection. */
  registerConnectCallback(callback: () => void): void
  /** Registers who is told that there is none any more, and by which error, where it was one. */
  registerDisconnectCallback(callback: (error?: Error) => void): void
  /**
   * Sends a body: true when the kernel has it, false where that can't be said, and not within
   * `timeout` (ms, 0: no limit). It throws, or rejects, only if no byte went out.
   */
  send(body: Buffer, options: { timeout: number }): boolean | Promise<boolean>
  /** Registers who is told of what came and was no body. Not of the original, and not required. */
  registerMalformedCallback?(callback: (error: FdwireError) => void): void
  /**
   * Ends the connection, as if it was lost. Not of the original: where it is absent, `reconnect` is
   * called for a peer that has gone too far.
   */
  disconnect?(): void
  /** Ends for good. Not of the original, and not required. */
  close?(): void | Promise<void>
}

/** Where the log goes: `console`, or anything that is shaped like it. */
export interface Logger {
  debug(message: string): void
  info(message: string): void
  warn(message: string): void
  error(message: string): void
}

/** The default: silence. */
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} }
