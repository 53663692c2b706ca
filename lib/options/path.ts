/** Options of the path that a socket is bound to. */

import { checkOneOf } from '../util/checks.js'
import { type Address, emptyError, encodeAddress } from './address.js'
import { integer, NAMED, type OptionContext, type OptionTable } from './option.js'

/** Options of functions that may bind a socket. */
export interface PathOptions {
  /** The permissions of the path, whatever the umask is (0o600). */
  mode?: number | undefined
  /**
   * What to do with a socket that exists at the path (`'stale'`): `'stale'` removes it if no process
   * has it open, `'always'` removes it, `false` leaves it.
   */
  unlink?: Unlink | undefined
}

/** The option of `connect` that binds the socket. */
export interface LocalAddressOptions {
  /**
   * The address to bind the socket to; null for none (default: on dgram an abstract name that the
   * kernel chooses, else none).
   */
  localAddress?: Address | null | undefined
}

/** What to do with a socket that exists at a path. */
export type Unlink = 'stale' | 'always' | false

const UNLINK = ['stale', 'always', false] as const

export const PATH = {
  mode: { of: NAMED, on: ['unix'], default: 0o600, check: integer(0, 0o777) },
  unlink: {
    of: NAMED,
    on: ['unix'],
    default: 'stale',
    check: (name, value): Unlink => checkOneOf(name, value, UNLINK),
  },
  localAddress: { of: ['connect'], on: ['unix'], check: checkLocalAddress },
} as const satisfies OptionTable<PathOptions & LocalAddressOptions>

function checkLocalAddress(name: string, value: unknown, { type }: OptionContext): Address | null {
  if (value === null) return null
  if (encodeAddress(value, name).length > 0) return value as Address
  const omitted =
    type === 'dgram' ? ', or omit it for an abstract name that the kernel chooses' : ''
  throw emptyError(name, `null for no address${omitted}`)
}
