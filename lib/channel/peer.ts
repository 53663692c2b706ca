import type { PeerCredentials } from '#native'
import type { ChannelHandle } from '../native/handle.js'
import { decodeSocketAddress, isTcp } from '../options/address.js'
import type { Peer, PeerProcess } from '../options/check.js'
import { errorCode } from '../util/errors.js'

/** Returns the peer of a channel; undefined if it is unknown, or the channel is closed. */
export function peerOf(handle: ChannelHandle): Peer | undefined {
  if (!handle.isOpen) return undefined
  const address = decodeSocketAddress(handle.peerAddress())
  if (isTcp(address)) return address
  const credentials = handle.peerCredentials()
  return credentials === null ? undefined : new PeerOfSocket(handle, credentials)
}

/** The process of a Unix socket. Its pidfd is opened when it is first read. */
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

/**
 * The errors of a kernel that provides no pidfd: it is too old, the peer is unknown, or, before
 * Linux 6.16, the peer has been reaped.
 */
const WITHOUT_PIDFD = new Set(['ENOPROTOOPT', 'ENODATA', 'ESRCH', 'EINVAL'])
