import { constants } from 'node:os'
import type { Channel } from '../../channel/channel.js'
import { listen } from '../../open/listen.js'
import type { Listener } from '../../open/listener.js'
import { reportDrop } from '../../open/listener-events.js'
import type { Address } from '../../options/address.js'
import { checkWait, type WaitOptions } from '../../options/check.js'
import {
  closedError,
  conflictError,
  errorCode,
  FdwireError,
  systemError,
} from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { Deadline } from '../../util/wait.js'
import { accept } from './accept.js'
import { Connection } from './connection.js'
import { type Limits, serverHandshake } from './handshake.js'
import {
  CHANNEL,
  checkOver,
  checkServerOptions,
  type UdsOverOptions,
  type UdsServerOptions,
} from './options.js'

/** The server: it serves one client at a time, to which it sends commands. */
export class UdsServer {
  /** The listener, which emits `'drop'` for a failed handshake; undefined over a channel. */
  readonly listener: Listener<Channel<string>> | undefined
  readonly #handshakeTimeout: number
  #state: 'idle' | 'waiting' | 'closed' = 'idle'
  /** Over a channel: its connection, until `waitForConnection()` uses it. */
  #unused: Connection | undefined
  /** A client that has connected but not completed the handshake. */
  #candidate: Connection | undefined
  #client: Connection | undefined
  #closing: Promise<void> | undefined

  private constructor(
    handshakeTimeout: number,
    listener: Listener<Channel<string>> | undefined,
    channel?: Channel<string>,
  ) {
    this.#handshakeTimeout = handshakeTimeout
    this.listener = listener
    if (channel !== undefined) this.#unused = new Connection(channel)
    // `waitForConnection()` rejects with the error when 'close' follows.
    listener?.on('error', () => {})
  }

  /**
   * Listens at a path, which has the permissions `mode` (0o600) from the beginning.
   *
   * `unlink` (`'stale'`) decides what happens to a socket that exists at the path; the original
   * behaves as with `'always'`. While one client is served, others wait in the kernel (`backlog`:
   * connections, 1).
   *
   * # Errors
   * Those of fdwire's `listen`: EADDRINUSE, EEXIST, ENOENT …
   */
  static async listen(
    path: Address | null,
    options: UdsServerOptions = NO_OPTIONS,
  ): Promise<UdsServer> {
    const { handshakeTimeout, rest } = checkServerOptions(options)
    const { backlog = 1 } = options
    const listener = await listen(path, { ...rest, backlog, ...CHANNEL, maxConnections: 1 })
    return new UdsServer(handshakeTimeout, listener)
  }

  /**
   * Makes a server from a uds_comms channel of encoding `'text'`, which it owns afterwards. Its one
   * client is the channel's peer; `waitForConnection()` performs the handshake.
   *
   * # Errors
   * TypeError for a channel of another protocol.
   */
  static over(channel: Channel<string>, options: UdsOverOptions = NO_OPTIONS): UdsServer {
    return new UdsServer(checkOver('UdsServer.over', channel, options), undefined, channel)
  }

  /** The client's channel; undefined while there is no client. */
  get channel(): Channel<string> | undefined {
    return this.#client?.channel
  }

  /**
   * Waits for a client and performs the handshake. Closes the previous client first.
   *
   * Messages that a client sends before READY are dropped. A client that closes, or does not send
   * READY within `handshakeTimeout` (ms, 10,000), is closed, the listener emits `'drop'`, and the
   * next client is accepted. Over a channel there is no next client, and the call rejects.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT after `timeout` (ms, default 0: no limit) and AbortError, which close a
   * client that has not sent READY; ERR_FDWIRE_HANDSHAKE over a channel; ERR_FDWIRE_CLOSED; the
   * listener's error; ERR_FDWIRE_CONSUMER_CONFLICT while another call is pending.
   */
  async waitForConnection(options: WaitOptions = NO_OPTIONS): Promise<void> {
    const { timeout, signal } = checkWait('waitForConnection', options)
    this.#checkOpen('waitForConnection')
    if (this.#state === 'waiting') {
      throw conflictError('another waitForConnection() call is waiting for a client')
    }
    this.#state = 'waiting'
    try {
      const limits = { deadline: new Deadline(timeout), signal }
      await this.#closeClient()
      this.#checkOpen('waitForConnection')
      if (this.listener === undefined) await this.#admitOnly(limits)
      else await this.#admitNext(this.listener, limits)
    } finally {
      if (this.#state === 'waiting') this.#state = 'idle'
    }
  }

  /**
   * Sends the client a text. Resolves when the kernel has taken it.
   *
   * # Errors
   * EPIPE if the client has closed, ENOTCONN while there is none; ERR_FDWIRE_UNENCODABLE for `''`,
   * which no receiver of the original delivers; ERR_FDWIRE_ILL_FORMED_TEXT; ERR_FDWIRE_QUEUE_FULL;
   * ERR_FDWIRE_CLOSED; TypeError.
   */
  async send(text: string): Promise<void> {
    await this.#connected('send').send(text)
  }

  /**
   * Waits for a text of the client; null at its end and afterwards, until `waitForConnection()`.
   *
   * # Errors
   * The error of a malformed frame, after which the next call returns the next frame; the error
   * that ended the connection (ERR_FDWIRE_CUT_SHORT if the client closed inside a frame,
   * ERR_FDWIRE_MESSAGE_TOO_LARGE, ECONNRESET), once, after which calls return null; ENOTCONN while
   * there is no client; ERR_FDWIRE_TIMEOUT after `timeout` (ms, default 0: no limit) and
   * AbortError, which take no message; ERR_FDWIRE_CLOSED after `close()`.
   */
  async receive(options: WaitOptions = NO_OPTIONS): Promise<string | null> {
    return this.#connected('receive').receive(options)
  }

  /**
   * Sends the queue, closes the connection and the listener, and removes the path unless another
   * socket has it now. A second call returns the same promise.
   *
   * # Errors
   * Those of `Channel.close`.
   */
  close(): Promise<void> {
    this.#state = 'closed'
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const closed = this.listener?.close()
    this.#candidate?.channel.destroy()
    this.#unused?.channel.destroy()
    await this.#client?.close()
    await closed
  }

  /** Closes the client. The `send` calls of messages that it has not taken reject. */
  async #closeClient(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.close().catch(() => {})
  }

  async #admitOnly(limits: Limits): Promise<void> {
    const connection = this.#unused
    if (connection === undefined) {
      const message =
        'waitForConnection: a server over a channel has only one client, and it was already admitted'
      throw new FdwireError('ERR_FDWIRE_CLOSED', message)
    }
    this.#unused = undefined
    await this.#admit(connection, this.#handshakeLimits(limits))
  }

  async #admitNext(listener: Listener<Channel<string>>, limits: Limits): Promise<void> {
    for (;;) {
      const candidate = new Connection(await accept(listener, limits))
      const own = this.#handshakeLimits(limits)
      try {
        await this.#admit(candidate, own)
        return
      } catch (error) {
        const code = errorCode(error)
        if (code === 'ABORT_ERR') throw error
        if (code === 'ERR_FDWIRE_TIMEOUT' && own.deadline === limits.deadline) throw error
        this.#checkOpen('waitForConnection')
        reportDrop(listener, { reason: 'handshake', error })
      }
    }
  }

  /**
   * Returns the limits of one handshake: the call's, or `handshakeTimeout` if that expires first.
   */
  #handshakeLimits({ deadline, signal }: Limits): Limits {
    return { deadline: Deadline.first(deadline, new Deadline(this.#handshakeTimeout)), signal }
  }

  async #admit(candidate: Connection, limits: Limits): Promise<void> {
    this.#candidate = candidate
    try {
      await serverHandshake(candidate.channel, limits)
      this.#checkOpen('waitForConnection')
      this.#client = candidate
    } catch (error) {
      candidate.channel.destroy()
      throw error
    } finally {
      this.#candidate = undefined
    }
  }

  #connected(call: 'send' | 'receive'): Connection {
    if (this.#client !== undefined) return this.#client
    this.#checkOpen(call)
    const hint = 'there is no client: await waitForConnection() first'
    throw systemError(constants.errno.ENOTCONN, call === 'send' ? 'sendmsg' : 'recvmsg', { hint })
  }

  #checkOpen(call: string): void {
    if (this.#state === 'closed') throw closedError(call)
  }
}
