import { environment } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import { decodeName, isTcp } from '../options/address.js'
import type { Peer, PeerProcess } from '../options/check.js'
import { errorCode } from '../util/errors.js'

/** Who is at the other end of a channel; undefined where nobody knows, or it is closed. */
export function peerOf(owner: ChannelHandle): Peer | undefined {
  const { index } = owner
  if (index < 0) return undefined
  const address = decodeName(environment.peerAddress(index))
  if (isTcp(address)) return address
  const known = environment.peerCredentials(index)
  return known === null ? undefined : new Process(owner, known)
}

/** Its pidfd is no property of its own: it is opened by whoever asks for it, and for nobody else. */
class Process implements PeerProcess {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  readonly #owner: ChannelHandle

  constructor(owner: ChannelHandle, { pid, uid, gid }: { pid: number; uid: number; gid: number }) {
    this.pid = pid
    this.uid = uid
    this.gid = gid
    this.#owner = owner
  }

  get pidfd(): number | undefined {
    const { index } = this.#owner
    if (index < 0) return undefined
    try {
      return environment.peerPidfd(index)
    } catch (error) {
      if (WITHOUT.has(errorCode(error) ?? '')) return undefined
      throw error
    }
  }
}

/** An older kernel, a peer that nobody knows, and (before Linux 6.16) one that has been reaped. */
const WITHOUT = new Set(['ENOPROTOOPT', 'ENODATA', 'ESRCH', 'EINVAL'])
