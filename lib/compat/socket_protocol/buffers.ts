import type { DataStorage } from './data-storage.js'
import { keyOf } from './services.js'
import { startWait } from './wait.js'

/** The limits of the buffers. */
export interface BufferLimits {
  /** The most messages of one service and data id. */
  maxBufferedEach: number
  /** The most messages in total. */
  maxBuffered: number
  /** The most bytes in total. */
  maxBufferedBytes: number
}

interface Entry {
  message: DataStorage
  key: string
  bytes: number
}

/** A pending `take` call. */
interface Reader {
  resolve(message: DataStorage | null): void
  stopWait(): void
}

/** Buffers messages without a callback until `receive` takes them. Drops the oldest at a limit. */
export class Buffers {
  readonly #limits: BufferLimits
  readonly #onDrop: (message: DataStorage) => void
  /** All entries, the oldest first. */
  readonly #entries = new Set<Entry>()
  /** The entries of each service and data id. */
  readonly #queues = new Map<string, Entry[]>()
  readonly #readers = new Map<string, Set<Reader>>()
  #bytes = 0
  #readerCount = 0
  #isClosed = false

  /** `onDrop` is called with each message that is dropped. */
  constructor(limits: BufferLimits, onDrop: (message: DataStorage) => void) {
    this.#limits = limits
    this.#onDrop = onDrop
  }

  /** The number of buffered messages. */
  get length(): number {
    return this.#entries.size
  }

  /** The number of pending `take` calls. */
  get readers(): number {
    return this.#readerCount
  }

  /** Gives a message to the first pending `take` call, or buffers it. */
  push(message: DataStorage, bytes: number): void {
    const key = keyOf(message.getServiceId(), message.getDataId())
    const [reader] = this.#readers.get(key) ?? []
    if (reader !== undefined) {
      this.#removeReader(key, reader)
      reader.resolve(message)
      return
    }
    const { maxBuffered, maxBufferedBytes, maxBufferedEach } = this.#limits
    const present = this.#queues.get(key)
    if (present !== undefined && present.length >= maxBufferedEach) this.#drop(present[0] as Entry)
    while (
      this.#entries.size > 0 &&
      (this.#entries.size >= maxBuffered || this.#bytes + bytes > maxBufferedBytes)
    ) {
      this.#drop(this.#entries.values().next().value as Entry)
    }
    const entry = { message, key, bytes }
    const queue = this.#queues.get(key) ?? []
    this.#queues.set(key, queue)
    queue.push(entry)
    this.#entries.add(entry)
    this.#bytes += bytes
  }

  /**
   * Takes the oldest message of a service and data id, or waits for one. Resolves to null after
   * `timeout` (ms, 0: no limit) and after `close`.
   *
   * # Errors
   * AbortError.
   */
  take(
    serviceId: number,
    dataId: number,
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<DataStorage | null> {
    const key = keyOf(serviceId, dataId)
    const [entry] = this.#queues.get(key) ?? []
    if (entry !== undefined) {
      this.#remove(entry)
      return Promise.resolve(entry.message)
    }
    if (this.#isClosed) return Promise.resolve(null)
    return new Promise((resolve, reject) => {
      const leave = (settle: () => void) => {
        this.#removeReader(key, reader)
        settle()
      }
      const onTimeout = () => leave(() => resolve(null))
      const onAbort = (error: Error) => leave(() => reject(error))
      const stopWait = startWait({ timeout, signal }, onTimeout, onAbort, true)
      const reader: Reader = { resolve, stopWait }
      const readers = this.#readers.get(key) ?? new Set()
      this.#readers.set(key, readers.add(reader))
      this.#readerCount++
    })
  }

  /** Drops the messages for which `isDropped` is true. */
  dropWhere(isDropped: (message: DataStorage) => boolean): void {
    for (const entry of [...this.#entries]) if (isDropped(entry.message)) this.#drop(entry)
  }

  /** Resolves all pending `take` calls to null, and later ones that find no message. */
  close(): void {
    this.#isClosed = true
    for (const [key, readers] of this.#readers) {
      for (const reader of [...readers]) {
        this.#removeReader(key, reader)
        reader.resolve(null)
      }
    }
  }

  #drop(entry: Entry): void {
    this.#remove(entry)
    this.#onDrop(entry.message)
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry)
    this.#bytes -= entry.bytes
    const queue = this.#queues.get(entry.key) ?? []
    queue.splice(queue.indexOf(entry), 1)
    if (queue.length === 0) this.#queues.delete(entry.key)
  }

  #removeReader(key: string, reader: Reader): void {
    const readers = this.#readers.get(key)
    if (!readers?.delete(reader)) return
    if (readers.size === 0) this.#readers.delete(key)
    this.#readerCount--
    reader.stopWait()
  }
}
