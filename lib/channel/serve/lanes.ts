import { type Address, isRelative } from '../../options/address.js'
import type { From } from '../../wire/message.js'
import { Lane } from './lane.js'

/** The most idle senders that are remembered, as peers that send requests. */
const MAX_IDLE = 1_024

/** The lanes of an unconnected datagram socket, one for each sender. */
export class Lanes {
  readonly #allowRelative: boolean
  /** The lanes with unanswered requests or a long queue. */
  readonly #busy = new Map<string, Lane>()
  /** The lanes of the senders that were served last, oldest first. */
  readonly #idle = new Map<string, Lane>()

  constructor(allowRelative: boolean) {
    this.#allowRelative = allowRelative
  }

  /** Returns the lane of a sender. */
  of(from: From): Lane {
    const key = keyOf(from)
    const known = this.#busy.get(key) ?? this.#idle.get(key)
    if (known !== undefined) return known
    const lane = new Lane(key, this.#destinationOf(from), undefined)
    this.#addIdle(key, lane)
    return lane
  }

  /** Whether an address has sent requests lately. */
  has(address: Address): boolean {
    const key = keyOf(address)
    return this.#busy.has(key) || this.#idle.has(key)
  }

  /** Returns the lane of a destination if it is not idle. */
  busy(to: Address): Lane | undefined {
    return this.#busy.get(keyOf(to))
  }

  /** Returns the lanes that are not idle. */
  busyLanes(): Iterable<Lane> {
    return this.#busy.values()
  }

  /** Notes that a lane may have become busy or idle. */
  update(lane: Lane): void {
    const key = lane.key as string
    if (!lane.isIdle) {
      this.#idle.delete(key)
      this.#busy.set(key, lane)
    } else if (this.#busy.delete(key)) {
      this.#addIdle(key, lane)
    }
  }

  #addIdle(key: string, lane: Lane): void {
    this.#idle.set(key, lane)
    if (this.#idle.size <= MAX_IDLE) return
    const [oldest = key] = this.#idle.keys()
    this.#idle.delete(oldest)
  }

  /**
   * Returns where the replies to a sender go; undefined if the sender has no address, or if the reply
   * could reach another socket in the working directory of this process.
   */
  #destinationOf(from: From): Address | undefined {
    if (from === null || from === undefined) return undefined
    if (isRelative(from) && !this.#allowRelative) return undefined
    // The handler owns the Buffer of `from`, and may modify it.
    return typeof from === 'string' ? from : Buffer.from(from)
  }
}

/** Returns a key for an address. Only that of a Buffer begins with a lone surrogate. */
function keyOf(address: Address | null | undefined): string {
  if (typeof address === 'string') return address
  if (address === null || address === undefined) return ''
  return `\ud800${Buffer.from(address).toString('latin1')}`
}
