import { constants } from 'node:os'
import type { Channel } from '../../channel/channel.js'
import { listen } from '../../open/listen.js'
import type { Listener } from '../../open/listener.js'
import type { Address } from '../../options/address.js'
import type { WaitOptions } from '../../options/check.js'
import { checkWait } from '../../options/check.js'
import { closedError, conflict, FdwireError, systemError } from '../../util/errors.js'
import { accept } from './accept.js'
import { Conversation } from './conversation.js'
import { admit, firstOf, type Limit, limitOf } from './handshake.js'
import {
  CHANNEL,
  checkOver,
  checkServerOptions,
  type UdsOverOptions,
  type UdsServerOptions,
} from './options.js'

/** The server: it has one client at a time, which it asks. */
export class UdsServer {
  /** Where clients come from; undefined over a channel. Its `'drop'` tells of failed handshakes. */
  readonly listener: Listener<Channel<string>> | undefined
  readonly #handshakeTimeout: number
  /** The only one that comes, over a channel. */
  #given: Conversation | undefined
  /** Who has connected and not said READY yet. */
  #candidate: Conversation | undefined
  #client: Conversation | undefined
  #waiting = false
  #closing: Promise<void> | undefined

  private constructor(
    handshakeTimeout: number,
    listener: Listener<Channel<string>> | undefined,
    given?: Channel<string>,
  ) {
    this.#handshakeTimeout = handshakeTimeout
    this.listener = listener
    if (given !== undefined) this.#given = new Conversation(given)
    // The 'close' that follows tells who waits.
    listener?.on('error', () => {})
  }

  /**
   * Listens at a path, which has the permissions `mode` (0o600) from the beginning.
   *
   * A socket that is there is removed if nobody listens on it, as `unlink` says (`'stale'`); the
   * original does what `'always'` does. While one client is served, others wait in the kernel's backlog
   * (`backlog`, 1).
   *
   * # Errors
   * Those of the package's `listen`: EADDRINUSE, EEXIST, ENOENT …
   */
  static async listen(path: Address, options: UdsServerOptions = {}): Promise<UdsServer> {
    const { handshakeTimeout, rest } = checkServerOptions(options)
    const { backlog = 1 } = options
    const listener = await listen(path, { ...rest, backlog, ...CHANNEL, maxConnections: 1 })
    return new UdsServer(handshakeTimeout, listener)
  }

  /**
   * A server on a channel of uds_comms, of encoding text, that has one client: `waitForConnection()`
   * shakes hands with it. The channel is the server's from then on.
   *
   * # Errors
   * TypeError for a channel of another protocol.
   */
  static over(channel: Channel<string>, options: UdsOverOptions = {}): UdsServer {
    return new UdsServer(checkOver('UdsServer.over', channel, options), undefined, channel)
  }

  /** The client's channel; undefined where there is none yet. */
  get channel(): Channel<string> | undefined {
    return this.#client?.channel
  }

  /**
   * Waits for a client, and shakes hands with it. A client that was there before is closed.
   *
   * What a client sends before READY is dropped. One that leaves, or has not said READY in
   * `handshakeTimeout` (ms, 10,000), is closed, `'drop'` of the listener tells of it, and the next one
   * is accepted; over a channel there is no next one, and this rejects.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT when `timeout` (ms, 0: none) is up, AbortError: a client that has not said READY
   * is closed then. Over a channel ERR_FDWIRE_HANDSHAKE too. ERR_FDWIRE_CLOSED; what the listener fails
   * with; ERR_FDWIRE_CONSUMER_CONFLICT while another call waits.
   */
  async waitForConnection(options: WaitOptions = {}): Promise<void> {
    const { timeout, signal } = checkWait('waitForConnection', options)
    this.#checkOpen('waitForConnection')
    if (this.#waiting) throw conflict('another call of waitForConnection() waits for a client')
    this.#waiting = true
    try {
      const limit = limitOf(timeout, signal)
      await this.#dismiss()
      this.#checkOpen('waitForConnection')
      if (this.listener === undefined) await this.#admitGiven(limit)
      else await this.#admitNext(this.listener, limit)
    } finally {
      this.#waiting = false
    }
  }

  /**
   * Sends the client a text; resolves when the kernel has it.
   *
   * # Errors
   * EPIPE when the client has gone, ENOTCONN when there is none yet; ERR_FDWIRE_UNENCODABLE for `''`,
   * which no receiver of the original can receive; ERR_FDWIRE_ILL_FORMED_TEXT; ERR_FDWIRE_QUEUE_FULL;
   * ERR_FDWIRE_CLOSED; TypeError.
   */
  async send(text: string): Promise<void> {
    await this.#conversation('send').send(text)
  }

  /**
   * Waits for a text of the client; null at its end, for ever, or until `waitForConnection()` is called.
   *
   * # Errors
   * Rejects for a malformed frame, and the next call gives what stands behind it. Rejects once for what
   * ends the connection: ERR_FDWIRE_CUT_SHORT where the peer has gone inside of a frame,
   * ERR_FDWIRE_MESSAGE_TOO_LARGE, ECONNRESET; null comes after that. ENOTCONN when there is no client
   * yet; ERR_FDWIRE_TIMEOUT, AbortError: then no message was taken. ERR_FDWIRE_CLOSED after `close()`.
   */
  async receive(options: WaitOptions = {}): Promise<string | null> {
    return this.#conversation('receive').receive(options)
  }

  /**
   * Sends what waits, closes the connection and the listener, and removes the path if it is still the
   * server's. A second call gives the same promise.
   *
   * # Errors
   * Those of `Channel.close`.
   */
  close(): Promise<void> {
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
    this.#given?.channel.destroy()
    await this.#client?.close()
    await closed
  }

  /** Closes the client that was there. What it was sent and did not take is told by `send`. */
  async #dismiss(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.close().catch(() => {})
  }

  async #admitGiven(limit: Limit): Promise<void> {
    const given = this.#given
    if (given === undefined) {
      const message = 'waitForConnection: over a channel there is one client only, and it came'
      throw new FdwireError('ERR_FDWIRE_CLOSED', message)
    }
    this.#given = undefined
    await this.#admit(given, firstOf(limit, limitOf(this.#handshakeTimeout, limit.signal)))
  }

  async #admitNext(listener: Listener<Channel<string>>, limit: Limit): Promise<void> {
    for (;;) {
      const candidate = new Conversation(await accept(listener, limit))
      const its = firstOf(limit, limitOf(this.#handshakeTimeout, limit.signal))
      try {
        await this.#admit(candidate, its)
        return
      } catch (error) {
        const { code } = error as { code?: string }
        if (code === 'ABORT_ERR' || (code === 'ERR_FDWIRE_TIMEOUT' && its === limit)) throw error
        this.#checkOpen('waitForConnection')
        listener.emit('drop', { reason: 'handshake', error })
      }
    }
  }

  async #admit(candidate: Conversation, limit: Limit): Promise<void> {
    this.#candidate = candidate
    try {
      await admit(candidate.channel, limit)
      this.#checkOpen('waitForConnection')
      this.#client = candidate
    } catch (error) {
      candidate.channel.destroy()
      throw error
    } finally {
      this.#candidate = undefined
    }
  }

  #conversation(call: 'send' | 'receive'): Conversation {
    if (this.#client !== undefined) return this.#client
    this.#checkOpen(call)
    const syscall = call === 'send' ? 'sendmsg' : 'recvmsg'
    const error = systemError(constants.errno.ENOTCONN, syscall)
    error.message += ': there is no client, await waitForConnection() first'
    throw error
  }

  #checkOpen(call: string): void {
    if (this.#closing !== undefined) throw closedError(call)
  }
}
