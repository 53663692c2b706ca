import { type Address, checkAddress, isRelative } from '../options/address.js'
import type { CheckedOptions } from '../options/check.js'
import { describeValue } from '../util/checks.js'
import { FdwireError } from '../util/errors.js'
import type { SendOptions } from './events.js'

/**
 * The most relative paths that are remembered. If more of them arrive as senders' addresses, every
 * relative destination that the program has not used before is refused.
 */
const MAX_RELATIVE = 1_024

/**
 * Checks the destinations of a channel without a peer.
 *
 * A relative path that arrives as a sender's address is relative to the sender's working directory.
 * In this process it may be the path of another socket. So it is refused as a destination, unless
 * the program has sent to it before.
 */
export class Destinations {
  readonly #allowRelative: boolean
  /** Relative paths that arrived as a sender's address. */
  readonly #received = new Set<string>()
  /** Relative paths that the program sent to before they arrived as a sender's address. */
  readonly #own = new Set<string>()

  constructor({ allowRelative }: CheckedOptions) {
    this.#allowRelative = allowRelative
  }

  /** Remembers a relative path that arrived as a sender's address. */
  note(from: string | Buffer): void {
    const path = toText(from)
    if (this.#received.size <= MAX_RELATIVE && !this.#own.has(path)) this.#received.add(path)
  }

  /**
   * Checks the destination of a message.
   *
   * # Errors
   * ERR_FDWIRE_BAD_ADDRESS, ERR_FDWIRE_ILL_FORMED_TEXT, TypeError.
   */
  check(to: Address, allowRelative: SendOptions['allowRelative']): Address {
    if (typeof to === 'string') {
      if (!to.isWellFormed()) checkAddress(to, 'to')
    } else if (!(to instanceof Uint8Array)) {
      throw new TypeError(
        `to must be a path, an abstract name or a Buffer, not ${describeValue(to)}`,
      )
    }
    if (to.length === 0)
      throw badAddressError('to must not be empty: no socket has an empty address')
    if (isRelative(to) && !(allowRelative ?? this.#allowRelative)) this.#checkRelative(to)
    return to
  }

  #checkRelative(to: Address): void {
    const path = toText(to)
    if (this.#own.has(path)) return
    if (!this.#received.has(path) && this.#received.size <= MAX_RELATIVE) {
      if (this.#own.size < MAX_RELATIVE) this.#own.add(path)
      return
    }
    throw badAddressError(
      `to is '${path}', a relative path that arrived as a sender's address: here it may be another ` +
        'socket (use allowRelative: true to send to it)',
    )
  }
}

/** Returns the error of an invalid destination. */
export function badAddressError(message: string): FdwireError {
  return new FdwireError('ERR_FDWIRE_BAD_ADDRESS', message)
}

function toText(address: Address): string {
  return typeof address === 'string' ? address : Buffer.from(address).toString()
}
