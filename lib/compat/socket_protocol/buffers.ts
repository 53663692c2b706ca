import { abortError } from '../../util/errors.js'
import type { DataStorage } from './data-storage.js'
import { keyOf } from './services.js'

/** What is kept at most. */
export interface BufferLimits {
  /** Messages of one service and datum. */
  maxBufferedEach: number
  /** Messages in all. */
  maxBuffered: number
  /** The bytes of all. */
  maxBufferedBytes: number
}

interface Entry {
  message: DataStorage
  key: string
  bytes: number
}

/** Somebody who waits; gets null when nothing comes in time. */
interface Waiter {
  resolve(message: DataStorage | null): void
  cleanUp(): void
}

/** Messages that no callback took, for `receive`: bounded, and the oldest go first. */
export class Buffers {
  readonly #limits: BufferLimits
  readonly #onDrop: (message: DataStorage) => void
  /** In the order in which they came. */
  readonly #entries = new Set<Entry>()
  readonly #lanes = new Map<string, Entry[]>()
  readonly #waiters = new Map<string, Set<Waiter>>()
  #bytes = 0
  #waiting = 0
  #ended = false

  /** `onDrop` is called with each message that nobody will get. */
  constructor(limits: BufferLimits, onDrop: (message: DataStorage) => void) {
    this.#limits = limits
    this.#onDrop = onDrop
  }

  /** Messages that are kept. */
  get length(): number {
    return this.#entries.size
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** Gives a message to who waits for it, or keeps it. */
  push(message: DataStorage, bytes: number): void {
    const key = keyOf(message.getServiceId(), message.getDataId())
    const [waiter] = this.#waiters.get(key) ?? []
    if (waiter !== undefined) {
      this.#leave(key, waiter)
      waiter.resolve(message)
      return
    }
    const { maxBuffered, maxBufferedBytes, maxBufferedEach } = this.#limits
    const first = this.#lanes.get(key)
    if (first !== undefined && first.length >= maxBufferedEach) this.#drop(first[0] as Entry)
    while (this.#entries.size > 0 && this.#isFull(bytes, maxBuffered, maxBufferedBytes)) {
      this.#drop(this.#entries.values().next().value as Entry)
    }
    const entry = { message, key, bytes }
    const lane = this.#lanes.get(key) ?? []
    this.#lanes.set(key, lane)
    lane.push(entry)
    this.#entries.add(entry)
    this.#bytes += bytes
  }

  /** The oldest message of a service and datum; waits for one (ms, 0: for ever), else null. */
  take(
    serviceId: number,
    dataId: number,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<DataStorage | null> {
    const key = keyOf(serviceId, dataId)
    const [entry] = this.#lanes.get(key) ?? []
    if (entry !== undefined) {
      this.#remove(entry)
      return Promise.resolve(entry.message)
    }
    if (this.#ended) return Promise.resolve(null)
    return new Promise((resolve, reject) => {
      const giveUp = (settle: () => void) => {
        this.#leave(key, waiter)
        settle()
      }
      const onAbort = () => giveUp(() => reject(abortError(signal as AbortSignal)))
      const timer = timeout > 0 && setTimeout(giveUp, timeout, () => resolve(null))
      signal?.addEventListener('abort', onAbort, { once: true })
      const cleanUp = () => {
        if (timer) clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
      const waiter: Waiter = { resolve, cleanUp }
      const waiters = this.#waiters.get(key) ?? new Set()
      this.#waiters.set(key, waiters.add(waiter))
      this.#waiting++
    })
  }

  /** Drops the messages of which that is true. */
  dropWhere(isDropped: (message: DataStorage) => boolean): void {
    for (const entry of [...this.#entries]) if (isDropped(entry.message)) this.#drop(entry)
  }

  /** Tells everybody that nothing comes any more. */
  end(): void {
    this.#ended = true
    for (const [key, waiters] of this.#waiters) {
      for (const waiter of [...waiters]) {
        this.#leave(key, waiter)
        waiter.resolve(null)
      }
    }
  }

  #isFull(bytes: number, most: number, mostBytes: number): boolean {
    return this.#entries.size >= most || this.#bytes + bytes > mostBytes
  }

  #drop(entry: Entry): void {
    this.#remove(entry)
    this.#onDrop(entry.message)
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry)
    this.#bytes -= entry.bytes
    const lane = this.#lanes.get(entry.key) ?? []
    lane.splice(lane.indexOf(entry), 1)
    if (lane.length === 0) this.#lanes.delete(entry.key)
  }

  #leave(key: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(key)
    if (!waiters?.delete(waiter)) return
    if (waiters.size === 0) this.#waiters.delete(key)
    this.#waiting--
    waiter.cleanUp()
  }
}
