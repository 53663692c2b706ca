// @ts-check
/**
 * Prints the CPU time of each process for one connection of the scenarios `dispatch` (µs), from the
 * scheduler's counters of all threads. `node bench/dispatch-cpu.mjs --connections N` (20,000).
 *
 * Other load on the machine changes these figures less than rates, because time without a processor
 * does not count.
 */

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseCommandLine } from '../scripts/command-line.mjs'
import { buildFloor } from './place.mjs'

const BATCH = 5_000
const WARM_UP = 2
const flags = parseCommandLine(import.meta.url, {
  connections: { type: 'integer', default: 20_000 },
})
const batches = Math.ceil(flags.connections / BATCH)
const folder = mkdtempSync(join(tmpdir(), 'fdwire-bench-'))
const floor = buildFloor()

/** Returns the CPU time that a process has used (µs). @param {number} pid */
function cpuOf(pid) {
  const tasks = `/proc/${pid}/task`
  const times = readdirSync(tasks).map(task => {
    const [time = '0'] = readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')
    return Number(time) / 1_000
  })
  return times.reduce((sum, time) => sum + time, 0)
}

/** @param {number} pid */
const childrenOf = pid =>
  execFileSync('pgrep', ['-P', String(pid)])
    .toString()
    .split('\n')
    .filter(Boolean)
    .map(Number)

/** Measures a contender. @param {string} name @param {number} workers */
async function measure(name, workers) {
  const script = fileURLToPath(new URL('peers/dispatch.mjs', import.meta.url))
  const args = [`node=${process.execPath}`, `receiver=${script}`, 'role=send', 'work=http']
  args.push('topology=stream', `how=${name} ${workers}`, `path=${join(folder, name)}${workers}`)
  args.push('file=/dev/null', 'size=64', 'fds=0', `count=${BATCH}`, 'batches=1000', 'idle=0')
  const client = spawn(floor, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: client.stdout })[Symbol.asyncIterator]()
  /** Waits for an event of the client or the front. @param {string} event */
  const next = async event => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${name} has ended before '${event}'`)
      if (JSON.parse(value).event === event) return
    }
  }
  const batch = async () => {
    client.stdin.write('go\n')
    await next('done')
  }
  await next('ready')
  const [front = 0] = childrenOf(/** @type {number} */ (client.pid))
  const pids = [front, ...childrenOf(front), /** @type {number} */ (client.pid)]
  for (let i = 0; i < WARM_UP; i++) await batch()
  const before = pids.map(cpuOf)
  for (let i = 0; i < batches; i++) await batch()
  const used = pids.map((pid, i) => (cpuOf(pid) - Number(before[i])) / (batches * BATCH))
  for (const pid of pids) process.kill(pid)
  await once(client, 'exit')
  const sum = (/** @type {number[]} */ times) => times.reduce((total, time) => total + time, 0)
  const row = { front: sum(used.slice(0, 1)), workers: sum(used.slice(1, -1)) }
  const all = { ...row, client: sum(used.slice(-1)), all: sum(used) }
  return Object.fromEntries(
    Object.entries(all).map(([key, time]) => [key, Number(time.toFixed(1))]),
  )
}

/** @type {Record<string, object>} */
const table = {}
for (const workers of [1, 2]) {
  for (const name of ['fdwire', 'cluster'])
    table[`${name} ${workers}`] = await measure(name, workers)
}
console.table(table)
rmSync(folder, { recursive: true })
