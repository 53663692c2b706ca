/** A peer that can send anything, for the tests of bad input. */
import { closeSync, openSync } from 'node:fs'
import { adopt, type Channel, pair } from 'fdwire'
import { afterEach } from 'vitest'
import { JSONCOMM } from './channels.js'

const RAW = { protocol: 'raw', type: 'dgram', maxFds: 253 } as const
/** Channels that are closed after the test. */
export const open: Channel[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(channel => channel.close()))
})

/** A channel, and an end that sends it any bytes. */
export function badPeer(options = {}): { bad: Channel<Buffer>; good: Channel } {
  const [bad, other] = pair(RAW)
  const good = adopt(other.detach(), { ...JSONCOMM, ...options })
  open.push(bad as Channel, good)
  return { bad, good }
}

export const nulls = (count: number) =>
  Array.from({ length: count }, () => openSync('/dev/null', 'r'))
export const closeAll = (fds: number[]) => fds.forEach(fd => void closeSync(fd))
