import { decodeName, isTcp } from './address.js'
import { environment } from './native.js'
import type { Peer } from './options.js'

/** Who is at the other end of the channel at `index`; undefined where nobody knows. */
export function peerOf(index: number): Peer | undefined {
  const address = decodeName(environment.peerAddress(index))
  if (isTcp(address)) return address
  const known = environment.peerCredentials(index)
  return typeof known === 'number' ? undefined : known
}
