// @ts-check
/** The machine: what it is, and how much of it somebody else used. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release } from 'node:os'

/** Ticks of `/proc` in a second (USER_HZ, the same on every Linux of ours). */
const TICKS = 100

/** One line for the head of a report. */
export function describe() {
  const all = cpus()
  const qlen = read('/proc/sys/net/unix/max_dgram_qlen').trim()
  const rust = execFileSync('rustc', ['--version'], { encoding: 'utf8' }).split(' ')[1]
  return `${all[0]?.model.trim()} x ${all.length}, Linux ${release()}, Node ${process.version}, Rust ${rust}, max_dgram_qlen ${qlen}`
}

/** The core for both processes of a round trip: the last one, as interrupts prefer the first. */
export function lastCore() {
  const allowed = /Cpus_allowed_list:\s*(\S+)/.exec(read('/proc/self/status'))?.[1] ?? '0'
  return /** @type {string} */ (allowed.split(/[-,]/).at(-1))
}

/**
 * Starts a watch; what it returns gives the cores that others used since then (1 = one core), the
 * hypervisor's other guests among them. Exact only after our children were waited for.
 */
export function watchOthers() {
  const before = { all: busy(), own: own(), at: performance.now() }
  return () => {
    const seconds = (performance.now() - before.at) / 1000
    return (busy() - before.all - (own() - before.own)) / TICKS / seconds
  }
}

/** Ticks in which any core did something, or was taken from us. */
function busy() {
  const [user, nice, system, , , irq, softirq, steal] = read('/proc/stat')
    .split('\n', 1)[0]
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return user + nice + system + irq + softirq + steal
}

/** Ticks of this process and of its children that have ended. */
function own() {
  // The name in parentheses may hold blanks; utime, stime, cutime, cstime are fields 14 to 17.
  const fields = read('/proc/self/stat').split(') ')[1].split(' ').map(Number)
  return fields[11] + fields[12] + fields[13] + fields[14]
}

/** @param {string} path */
function read(path) {
  return readFileSync(path, 'utf8')
}
