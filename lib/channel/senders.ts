import { type Address, isSameAddress } from '../options/address.js'
import type { From } from '../wire/message.js'

/** Whether a message comes from `sender`; null: from the peer, or from anybody. */
export function isFrom(sender: Address | null, from: From): boolean {
  if (sender === null) return true
  return from !== null && from !== undefined && isSameAddress(sender, from)
}

/** Whether a request was sent; `oldest` is the number of the oldest queued message, 0 for none. */
export function isInFlight(seq: number, oldest: number): boolean {
  return seq === 0 || oldest === 0 || seq < oldest
}
