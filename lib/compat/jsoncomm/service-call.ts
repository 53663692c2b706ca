import { collectFds, type FdSource } from '../../fds/borrow.js'
import { FdSet } from '../../fds/fdset.js'
import { environment } from '../../native/environment.js'
import type { checkWait } from '../../options/check.js'
import { abortError, systemError, timeoutError } from '../../util/errors.js'
import { encoderOf } from '../../wire/encode.js'

// biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives
type Json = any

/** Who is told of signals; their descriptors are closed when it is done, unless it takes them. */
export type OnSignal = (value: Json, fds: FdSet) => unknown

/** What a call gives. */
export interface Reply {
  value: Json
  fds: FdSet
}

const toJson = encoderOf('json')

/** The most descriptors of a message. */
const MAX_FDS = 253

/** A call: on its way, or in the line. */
export class Call {
  readonly method: string
  readonly onSignal: OnSignal | undefined
  /** What it gives. */
  readonly reply: Promise<Reply>
  #message: object
  #fds: FdSet | Iterable<FdSource> | undefined
  /** Duplicates of them, while it waits in the line. */
  #kept: FdSet | undefined
  #settled = false
  #resolve!: (reply: Reply) => void
  #reject!: (error: unknown) => void
  #cleanUp = () => {}

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

  /** Whether nobody waits for it any more. */
  get settled(): boolean {
    return this.#settled
  }

  get message(): object {
    return this.#message
  }

  get fds(): FdSet | Iterable<FdSource> | undefined {
    return this.#kept ?? this.#fds
  }

  /**
   * Makes copies of everything that is the caller's, since it has to wait for its turn.
   *
   * # Errors
   * Those of `send` that don't depend on the socket.
   */
  keep(): void {
    this.#message = JSON.parse(toJson(this.#message) as string)
    if (this.#fds !== undefined) this.#kept = duplicate(this.#fds)
    this.#fds = undefined
  }

  /** Closes the copies. */
  release(): void {
    this.#kept?.close()
    this.#kept = undefined
    this.#fds = undefined
  }

  /** Bounds the time that somebody waits. */
  bound({ timeout, signal }: ReturnType<typeof checkWait>): void {
    if (timeout === 0 && signal === undefined) return
    const onAbort = () => this.reject(abortError(signal as AbortSignal))
    const late = () => this.reject(timeoutError(`${this.method}: no reply came`, timeout))
    // The socket keeps the process alive: a time limit alone shall not.
    const timer = timeout > 0 ? setTimeout(late, timeout).unref() : undefined
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#cleanUp = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** The reply is there; whoever has given up gets none. */
  resolve(reply: Reply): void {
    if (this.#settled) reply.fds.close()
    this.#settle()
    this.#resolve(reply)
  }

  /** It has failed, or was given up. */
  reject(error: unknown): void {
    this.#settle()
    this.#reject(error)
  }

  #settle(): void {
    this.#settled = true
    this.#cleanUp()
    this.release()
  }
}

function duplicate(fds: FdSet | Iterable<FdSource>): FdSet {
  const numbers = new Int32Array(MAX_FDS)
  const own: number[] = []
  try {
    for (const fd of numbers.subarray(0, collectFds(fds, numbers))) {
      const copy = environment.duplicate(fd)
      if (copy < 0) throw systemError(copy, 'fcntl')
      own.push(copy)
    }
    return FdSet.from(own)
  } catch (error) {
    for (const fd of own) environment.closeDuplicate(fd)
    throw error
  }
}
