/** A raw channel connected to a JSON channel, for tests that send malformed input. */
import { closeSync, openSync } from 'node:fs'
import { adopt, type Channel, pair } from 'fdwire'
import { afterEach } from 'vitest'
import { JSONCOMM } from './channels.js'

const RAW = { protocol: 'raw', type: 'dgram', maxFds: 253 } as const
/** Channels to close after each test. */
export const openChannels: Channel[] = []
afterEach(async () => {
  await Promise.all(openChannels.splice(0).map(channel => channel.close()))
})

/** Returns a connected pair: `raw` sends arbitrary bytes, `json` decodes them as jsoncomm. */
export function rawAndJsonChannels(options = {}): { raw: Channel<Buffer>; json: Channel } {
  const [raw, other] = pair(RAW)
  const json = adopt(other.detach(), { ...JSONCOMM, ...options })
  openChannels.push(raw as Channel, json)
  return { raw, json }
}

/** Opens `/dev/null` `count` times. */
export const openNulls = (count: number) =>
  Array.from({ length: count }, () => openSync('/dev/null', 'r'))
export const closeAll = (fds: number[]) => fds.forEach(fd => void closeSync(fd))
