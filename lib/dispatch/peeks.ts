import { RecordKind } from '#native'
import { environment, forget, register } from '../native/environment.js'
import { turn } from '../wire/turn.js'
import type { Pending } from './pending.js'
import { WaitingList } from './waiting.js'

/** The most bytes that `pick` gets, and the largest `peek`. */
export const MAX_HEAD = 16 * 1024

/** Memory for the bytes of one connection, until they are copied. */
const scratch = Buffer.allocUnsafeSlow(MAX_HEAD)

/** What becomes of a connection whose first bytes were waited for. */
export interface PeekHost {
  /** Its first bytes are there, or nothing more comes in time. */
  onPeeked(connection: Pending): void
  /** It has failed. */
  onFailed(connection: Pending, error: Error): void
}

/** A connection that is watched until enough bytes have arrived. */
interface Watched {
  readonly connection: Pending
  /** The number of the watch in the addon. */
  readonly index: number
}

/**
 * Waits for the first bytes of connections, without reading them: they stay in the socket for the
 * worker.
 */
export class Peeks {
  readonly #needed: number
  readonly #host: PeekHost
  readonly #watched: WaitingList<Watched>

  /** Waits for `needed` bytes, at most `timeout` (ms, 0: no limit). */
  constructor(needed: number, timeout: number, host: PeekHost) {
    this.#needed = needed
    this.#host = host
    this.#watched = new WaitingList(timeout, watched => {
      this.#unwatch(watched)
      host.onPeeked(watched.connection)
    })
  }

  /** Waits for the first bytes of a connection. Usually they are there. */
  add(connection: Pending): void {
    try {
      if (this.#look(connection)) {
        this.#host.onPeeked(connection)
        return
      }
      const watched = { connection, index: environment.watch(connection.fd) }
      register(watched.index, { onTurn: records => this.#onTurn(watched, records) })
      this.#watched.add(watched)
    } catch (error) {
      this.#host.onFailed(connection, error as Error)
    }
  }

  /** Ends waiting, and returns the connections. */
  clear(): Pending[] {
    return this.#watched.clear().map(watched => {
      this.#unwatch(watched)
      return watched.connection
    })
  }

  /** Looks at the bytes that have arrived. Returns whether they are enough. */
  #look(connection: Pending): boolean {
    const headLength = connection.head?.length ?? 0
    if (headLength >= this.#needed) return true
    const count = environment.peek(connection.fd, scratch.subarray(0, MAX_HEAD - headLength))
    if (count < 0) return false
    connection.peeked = Buffer.from(scratch.subarray(0, count))
    // No bytes: the peer sends nothing more.
    return count === 0 || headLength + count >= this.#needed
  }

  #onTurn(watched: Watched, records: number): void {
    const { connection } = watched
    // With 0 records native code continues a turn after an exception.
    if (records === 0) return
    const { kind, place: hasEnded } = turn.event(0)
    if (kind !== RecordKind.Readable) return
    try {
      if (!this.#look(connection) && hasEnded === 0) return
      this.#finish(watched)
      this.#host.onPeeked(connection)
    } catch (error) {
      this.#finish(watched)
      this.#host.onFailed(connection, error as Error)
    }
  }

  #finish(watched: Watched): void {
    this.#watched.delete(watched)
    this.#unwatch(watched)
  }

  #unwatch({ index }: Watched): void {
    forget(index)
    environment.unwatch(index)
  }
}
