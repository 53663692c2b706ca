import type { AsyncResource } from 'node:async_hooks'
import type { EventEmitter } from 'node:events'
import { closedError, FdwireError } from '../util/errors.js'
import { Ending } from './ending.js'
import type { Flushes } from './flushes.js'
import type { Inbox } from './inbox.js'
import type { Port } from './port.js'
import type { Sender } from './sender.js'
import type { ChannelStats } from './stats.js'

/** How long `close()` tries to send what is queued (ms). */
export const CLOSE_TIMEOUT = 10_000

/** The channel itself. */
interface Host extends EventEmitter {
  /** What was done so far, which stays to be had. */
  keepStats(): ChannelStats
  /** Forgets the socket. */
  forget(): void
}

/** What a channel is made of, as far as that ends with it. */
interface Parts {
  context: AsyncResource
  allowHalfOpen: boolean
  port: Port
  sender: Sender
  inbox: Inbox
  flushes: Flushes
}

/**
 * How a channel ends: message* → `'end'` → `'close'`, or message* → `'error'` → `'close'`.
 *
 * What the stream says of its end waits until all that came before is delivered. `close()` and
 * `destroy()` deliver nothing more. Whichever comes first, `'close'` comes last, and once.
 */
export class Lifetime {
  readonly #channel: Host
  readonly #context: AsyncResource
  readonly #allowHalfOpen: boolean
  readonly #port: Port
  readonly #sender: Sender
  readonly #inbox: Inbox
  readonly #flushes: Flushes
  readonly #ending = new Ending()
  /** Nothing is delivered and nothing can be sent any more. */
  #stopped = false
  /** The socket is closed, or somebody else's. */
  #closed = false
  #closing: Promise<void> | undefined
  /** How the stream has ended, as long as messages stand before that. */
  #last: { error: Error | undefined; heard: boolean } | undefined
  /** The peer has ended, and all was delivered. */
  #ended = false
  /** Our side is ended. */
  #finished = false
  /** `close()` waits for the peer's end. */
  #whenGone: (() => void) | undefined

  constructor(channel: Host, { context, allowHalfOpen, port, sender, inbox, flushes }: Parts) {
    this.#channel = channel
    this.#context = context
    this.#allowHalfOpen = allowHalfOpen
    this.#port = port
    this.#sender = sender
    this.#inbox = inbox
    this.#flushes = flushes
  }

  /** Whether nothing is delivered and nothing can be sent any more. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** Whether the socket is closed, or somebody else's. */
  get closed(): boolean {
    return this.#closed
  }

  /** Whether the peer has ended, and all was delivered. */
  get ended(): boolean {
    return this.#ended
  }

  /** Why the channel has ended. */
  get error(): Error | undefined {
    return this.#ending.error
  }

  /** Why it will end, as soon as what came before is delivered. */
  get failure(): Error | undefined {
    return this.#last?.error
  }

  /** The error if nobody has heard of it so far; who asks hears. */
  unheard(): Error | undefined {
    return this.#ending.unheard()
  }

  /** Throws why it has ended, if that was an error. */
  check(): void {
    this.#ending.check()
  }

  /** For calls that promise something: they hear why the channel has ended. */
  checkLive(call: string): void {
    this.#ending.check()
    this.checkOpen(call)
  }

  checkOpen(call: string): void {
    if (this.#stopped) throw closedError(call)
  }

  /** Ends our side. */
  finish(): void {
    this.checkOpen('end')
    if (this.#finished) return
    this.#finished = true
    this.#sender.close()
    this.#port.finish()
    if (this.#ended) this.#closeByItself()
  }

  /** The stream has ended, by an error or well; what stands before that comes first. */
  endWith(error: Error | undefined): void {
    // Nothing more goes out then, whoever reads on.
    const heard = error !== undefined && this.#flushes.failAll(error)
    // An end is none where something could not be sent any more.
    if (this.#last?.error === undefined) this.#last = { error, heard }
    this.#whenGone?.()
  }

  /** Tells how the stream has ended, if nothing is left before that. */
  tellLast(): void {
    if (this.#last === undefined || this.#stopped || this.#inbox.unread > 0) return
    const { error, heard } = this.#last
    if (error !== undefined) {
      this.#destroy(error, heard)
      return
    }
    if (this.#ended) return
    this.#ended = true
    this.#inbox.endAll()
    this.#context.runInAsyncScope(process.nextTick, process, () => {
      if (this.#stopped) return
      try {
        this.#channel.emit('end')
      } finally {
        if (!this.#allowHalfOpen || this.#finished) this.#closeByItself()
      }
    })
  }

  /** Sends what is queued, and closes; in `timeout` (ms, 0: no limit). */
  close(timeout: number): Promise<void> {
    this.#closing ??= this.#closed ? this.#ending.wait() : this.#close(timeout)
    return this.#closing
  }

  /** Closes at once, and drops what is queued. */
  destroy(error: Error | undefined): void {
    this.#destroy(error, this.#closing !== undefined)
  }

  /** Ends without the socket, which goes to somebody else: its descriptor. */
  moveOut(): number {
    this.#leave()
    const fd = this.#port.release()
    this.#ending.end(this.#channel, this.#context)
    return fd
  }

  /** `heard`: a promise has taken the error, or will. */
  #destroy(error: Error | undefined, heard: boolean): void {
    if (this.#closed) return
    this.#leave()
    this.#port.close()
    const flushed = this.#flushes.failAll(error ?? closedError('flush'))
    if (error === undefined) {
      this.#inbox.endAll()
      this.#ending.end(this.#channel, this.#context)
      return
    }
    // Somebody must hear of it: who waits, who listens, or else the process.
    const taken = this.#inbox.failAll(error) || flushed || heard
    const later = this.#inbox.iterating && 'later'
    this.#ending.fail(this.#channel, this.#context, error, taken || later)
  }

  #closeByItself(): void {
    if (this.#closed) return
    this.#closing ??= this.#close(CLOSE_TIMEOUT, true)
    // That something of what was sent is lost after a good end is told to who asks: flush, close.
    this.#closing.catch(() => {})
  }

  /** `byItself`: at the peer's end, which is the last event before `'close'`. */
  async #close(timeout: number, byItself = false): Promise<void> {
    this.#stop()
    this.#inbox.endAll()
    const began = performance.now()
    const failed = this.#last?.error !== undefined
    if (!failed) this.#port.flush()
    let late = !failed && (await this.#flushes.isLate(timeout))
    if (!failed && !late && !this.#closed) {
      late = await this.#isShutLate(timeout === 0 ? 0 : timeout - (performance.now() - began))
    }
    const unsent = this.#channel.keepStats().queuedBytes
    const lost = unsent > 0 ? this.#last?.error : undefined
    this.#destroy(byItself ? undefined : lost, true)
    await this.#ending.wait()
    this.#ending.check()
    if (lost !== undefined) throw lost
    if (!late) return
    const message = `close: ${unsent} bytes unsent in ${timeout} ms, or the peer did not end`
    throw new FdwireError('ERR_FDWIRE_TIMEOUT', message, { unsent })
  }

  /** Ends both directions, as far as that is to be waited for; whether it took too long (ms). */
  #isShutLate(timeout: number): Promise<boolean> {
    return new Promise(resolve => {
      const timer = timeout > 0 ? setTimeout(resolve, timeout, true).unref() : undefined
      this.#whenGone = () => {
        clearTimeout(timer)
        resolve(false)
      }
      this.#port.shut(this.#last !== undefined, this.#whenGone)
    })
  }

  /** From here on nothing is delivered and nothing can be sent; what is queued still goes out. */
  #stop(): void {
    this.#stopped = true
    this.#sender.close()
    this.#inbox.stop()
  }

  /** Lets go of the socket, which is closed or given away then. */
  #leave(): void {
    this.#channel.keepStats()
    this.#closed = true
    this.#stop()
    this.#channel.forget()
    this.#whenGone?.()
  }
}
