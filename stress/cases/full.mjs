/**
 * Full file systems (ENOSPC): paths that cannot be bound, a file that cannot grow, and a message for which
 * no file in memory can be written.
 */

import { deepStrictEqual } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { inFolder, kill, start } from '../children.mjs'

export const title = 'ENOSPC: a full tmpfs'
export const options = { rounds: { short: 1, long: 20 } }

/** Mounting a tmpfs requires a separate mount namespace. */
const NAMESPACE = ['unshare', '--mount']

const EXPECTED = {
  listen: 'ENOSPC',
  bind: 'ENOSPC',
  localAddress: 'ENOSPC',
  'datagram localAddress': 'ENOSPC',
  'stale path': 'replaced',
  'stream to a received file': 'ENOSPC',
  createMemfd: 'EFBIG',
  'message in a memfd': 'EFBIG, then small',
  requests: 100,
  leaked: 0,
  'listen with room': 'listened',
}

export function skip() {
  const [command, ...args] = NAMESPACE
  const { status } = spawnSync(command, [...args, 'true'])
  return status === 0 ? undefined : 'a mount namespace needs root and unshare(1)'
}

/** A case is a call, an execution one attempt of it. */
export const count = ({ attempts }) => ({
  cases: Object.keys(EXPECTED).length,
  executions: attempts,
})

export async function run({ rounds }) {
  for (let i = 0; i < rounds; i++) {
    await inFolder(async folder => {
      const child = start('full.mjs', { folder }, { through: NAMESPACE })
      deepStrictEqual(await child.next(), EXPECTED)
      await kill(child)
    })
  }
  return { attempts: rounds * Object.keys(EXPECTED).length }
}
