import type { FdSource } from '../../fds/borrow.js'
import { duplicateFds } from '../../fds/descriptors.js'
import type { FdSet } from '../../fds/fdset.js'
import { startLimits, type WaitLimits } from '../../util/wait.js'
import { encodeJson } from '../../wire/encodings/json.js'

// biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
type Json = any

/**
 * Handles a signal.
 *
 * The descriptors are closed after the handler has returned, or after its promise has settled: take
 * the ones to keep.
 */
export type OnSignal = (value: Json, fds: FdSet) => unknown

/** The reply to a call. */
export interface Reply {
  /** The result of the method. */
  value: Json
  /** The descriptors of the result. The caller owns them. */
  fds: FdSet
}

/** A call that waits for its turn or for its reply. */
export class Call {
  readonly method: string
  readonly onSignal: OnSignal | undefined
  readonly reply: Promise<Reply>
  #message: object
  /** The caller's descriptors. */
  #fds: FdSet | Iterable<FdSource> | undefined
  /** Duplicates of them, for a call that waits for its turn. */
  #duplicates: FdSet | undefined
  #isSettled = false
  #resolve!: (reply: Reply) => void
  #reject!: (error: unknown) => void
  #stopLimits = () => {}

  constructor(
    method: string,
    message: object,
    fds: FdSet | Iterable<FdSource> | undefined,
    onSignal: OnSignal | undefined,
  ) {
    this.method = method
    this.onSignal = onSignal
    this.#message = message
    this.#fds = fds
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Whether the call has resolved or rejected. A reply that arrives later is dropped. */
  get isSettled(): boolean {
    return this.#isSettled
  }

  get message(): object {
    return this.#message
  }

  get fds(): FdSet | Iterable<FdSource> | undefined {
    return this.#duplicates ?? this.#fds
  }

  /**
   * Copies the caller's arguments and duplicates its descriptors, for a call that waits for its
   * turn.
   *
   * # Errors
   * Those of `send` that do not depend on the socket.
   */
  copyArguments(): void {
    this.#message = JSON.parse(encodeJson(this.#message))
    if (this.#fds !== undefined) this.#duplicates = duplicateFds(this.#fds)
    this.#fds = undefined
  }

  /** Closes the duplicates, and forgets the caller's descriptors. */
  releaseFds(): void {
    this.#duplicates?.close()
    this.#duplicates = undefined
    this.#fds = undefined
  }

  /** Starts the limits: rejects the call at its timeout, or when its signal is aborted. */
  startLimits(limits: WaitLimits): void {
    const late = `No reply to ${this.method} arrived`
    this.#stopLimits = startLimits(limits, { late }, error => this.reject(error))
  }

  resolve(reply: Reply): void {
    if (this.#isSettled) reply.fds.close()
    this.#settle()
    this.#resolve(reply)
  }

  reject(error: unknown): void {
    this.#settle()
    this.#reject(error)
  }

  #settle(): void {
    this.#isSettled = true
    this.#stopLimits()
    this.releaseFds()
  }
}
