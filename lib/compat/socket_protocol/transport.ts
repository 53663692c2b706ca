import type { FdwireError } from '../../util/errors.js'

/**
 * Carries bodies between two protocol objects: the original's `comm_instance`.
 *
 * Any object with the eight required members is a transport. It must preserve the boundaries of the
 * bodies: on a stream by the frames of the protocol (`:<` … `:>`), otherwise by one datagram each.
 */
export interface Transport {
  /** Whether this side is the client, which sends the first message. */
  readonly IS_CLIENT: boolean
  /** Sets the channel name, for the transport's logs. */
  initChannelName(name: string | null): void
  /** Whether there is a connection. */
  isConnected(): boolean
  /** Ends the connection, if there is one, and makes another. Returns whether that succeeded. */
  reconnect(): boolean | undefined | Promise<boolean | undefined>
  /**
   * Registers the function that receives each body.
   *
   * If it returns a promise, the transport may stop reading until that resolves, which slows down a
   * peer that sends requests faster than they are answered.
   */
  registerCallback(callback: (body: Uint8Array) => Promise<void> | undefined): void
  /** Registers the function that is called when a connection was made. */
  registerConnectCallback(callback: () => void): void
  /** Registers the function that is called when the connection has ended, with its error if any. */
  registerDisconnectCallback(callback: (error?: Error) => void): void
  /**
   * Sends a body. Returns whether the kernel has taken it within `timeout` (ms, 0: no limit).
   *
   * It may throw, or reject, only if it has sent no byte of the body.
   */
  send(body: Buffer, options: { timeout: number }): boolean | Promise<boolean>
  /** Registers the function that gets each malformed frame. Optional; not in the original. */
  registerMalformedCallback?(callback: (error: FdwireError) => void): void
  /**
   * Ends the connection as if it had failed. Optional; not in the original. Without it, `reconnect`
   * is called to disconnect a peer that violates a limit.
   */
  disconnect?(): void
  /** Ends the connection and makes no other one. Optional; not in the original. */
  close?(): void | Promise<void>
}

/** Receives the log: `console`, or an object like it. */
export interface Logger {
  /** Logs what is of interest in a search for errors. */
  debug(message: string): void
  /** Logs an ordinary event. */
  info(message: string): void
  /** Logs something that the peer should not have done. */
  warn(message: string): void
  /** Logs a failure. */
  error(message: string): void
}

/** The default logger, which logs nothing. */
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} }
