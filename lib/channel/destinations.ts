import { type Address, checkAddress, isRelative } from '../options/address.js'
import type { CheckedOptions } from '../options/check.js'
import { FdwireError } from '../util/errors.js'
import type { SendOptions } from './events.js'

/** Relative senders' addresses that are remembered; with more, no relative path can be sent to. */
const MAX_RELATIVE = 1_024

/**
 * Where a channel without a peer may send to.
 *
 * A sender's relative path is relative to the sender's working directory. Here it may be the path of
 * another socket, so it is refused as a destination unless the program has used the path before.
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

  /** Remembers a relative path that is the address of a sender. */
  note(from: string | Buffer): void {
    const name = printable(from)
    if (this.#received.size <= MAX_RELATIVE && !this.#own.has(name)) this.#received.add(name)
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
      throw new TypeError('to must be a path, an abstract name or a Buffer')
    }
    if (to.length === 0) throw badAddress('to is empty')
    if (isRelative(to) && !(allowRelative ?? this.#allowRelative)) this.#checkRelative(to)
    return to
  }

  #checkRelative(to: Address): void {
    const name = printable(to)
    if (this.#own.has(name)) return
    if (!this.#received.has(name) && this.#received.size <= MAX_RELATIVE) {
      if (this.#own.size < MAX_RELATIVE) this.#own.add(name)
      return
    }
    throw badAddress(
      `to is '${name}', a relative path that arrived as a sender's address: here it may be another ` +
        'socket (allowRelative: true sends to it all the same)',
    )
  }
}

/** The error of a destination that cannot be sent to. */
export function badAddress(message: string): FdwireError {
  return new FdwireError('ERR_FDWIRE_BAD_ADDRESS', message)
}

function printable(address: Address): string {
  return typeof address === 'string' ? address : Buffer.from(address).toString()
}
