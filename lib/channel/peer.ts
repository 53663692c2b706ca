import type { PeerCredentials } from '#native'
import type { ChannelHandle } from '../native/handle.js'
import { decodeName, isTcp } from '../options/address.js'
import type { Peer, PeerProcess } from '../options/check.js'
import { errorCode } from '../util/errors.js'

/** The peer of a channel; undefined where it is unknown, or the channel is closed. */
export function peerOf(handle: ChannelHandle): Peer | undefined {
  if (!handle.isOpen) return undefined
  const address = decodeName(handle.peerName())
  if (isTcp(address)) return address
  const credentials = handle.peerCredentials()
  return credentials === null ? undefined : new PeerOfSocket(handle, credentials)
}

/** Its pidfd is opened when it is first read, so that a channel costs no descriptor for it. */
class PeerOfSocket implements PeerProcess {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  readonly #handle: ChannelHandle

  constructor(handle: ChannelHandle, { pid, uid, gid }: PeerCredentials) {
    this.pid = pid
    this.uid = uid
    this.gid = gid
    this.#handle = handle
  }

  get pidfd(): number | undefined {
    if (!this.#handle.isOpen) return undefined
    try {
      return this.#handle.peerPidfd()
    } catch (error) {
      if (WITHOUT_PIDFD.has(errorCode(error) ?? '')) return undefined
      throw error
    }
  }
}

/** An older kernel; an unknown peer; before Linux 6.16 also a peer that has been reaped. */
const WITHOUT_PIDFD = new Set(['ENOPROTOOPT', 'ENODATA', 'ESRCH', 'EINVAL'])
