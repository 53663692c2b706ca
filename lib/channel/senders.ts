import { type Address, isSameAddress } from '../options/address.js'
import type { From } from '../wire/message.js'

/** Whether a message comes from `sender`; null: from the peer, or from anybody. */
export function isFrom(sender: Address | null, from: From): boolean {
  if (sender === null) return true
  return from !== null && from !== undefined && isSameAddress(sender, from)
}
