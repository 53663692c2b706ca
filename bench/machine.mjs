// @ts-check
/** The machine, and its load by other processes. */

import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'

/**
 * Clock ticks of `/proc` per second: USER_HZ, which is 100 on all architectures that Node supports.
 */
const TICKS = 100

/**
 * What the results depend on, without anything that identifies the machine.
 * @typedef {object} Machine
 * @property {string} cpu model
 * @property {number} cores
 * @property {string} linux major and minor version
 * @property {string} rust version
 * @property {number} maxDgramQlen net.unix.max_dgram_qlen: one less than the datagrams that wait at
 *   a socket
 */

/** @returns {Machine} */
export function describeMachine() {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    linux: /** @type {RegExpExecArray} */ (/^\d+\.\d+/.exec(release()))[0],
    rust: versionOf('rustc').split(' ')[1] ?? 'unknown',
    maxDgramQlen: Number(read('/proc/sys/net/unix/max_dgram_qlen')),
  }
}

/**
 * Returns the core on which to run two processes: the last, because interrupts prefer the first.
 */
export function lastCore() {
  return /** @type {string} */ (allowedCores().at(-1))
}

/** Returns the core of the sender if the receiver runs on the last one. */
export function firstCore() {
  return /** @type {string} */ (allowedCores()[0])
}

/** Returns the ends of the ranges of cores on which this process may run. */
function allowedCores() {
  const allowed = /Cpus_allowed_list:\s*(\S+)/.exec(read('/proc/self/status'))?.[1] ?? '0'
  return allowed.split(/[-,]/)
}

/**
 * Lets the processes of a session run before all others, as far as the kernel schedules by session
 * (sched(7), autogroup) and this process may ask for it, which needs root.
 * @param {number} leader of the session
 */
export function preferGroup(leader) {
  try {
    writeFileSync(`/proc/${leader}/autogroup`, '-20')
  } catch {
    // The kernel has no such file, or refuses. Then other processes disturb more runs.
  }
}

/**
 * Starts to measure the load by other processes. The returned function returns the number of cores
 * that they have used since then, including the time that the hypervisor gave to other guests. The
 * result is exact only if all children of this process have ended.
 */
export function watchOthers() {
  const before = { all: busy(), own: own(), at: performance.now() }
  return () => {
    const seconds = (performance.now() - before.at) / 1000
    return (busy() - before.all - (own() - before.own)) / TICKS / seconds
  }
}

/** Returns the ticks in which any core was busy or was given to another guest. */
function busy() {
  const [user, nice, system, , , irq, softirq, steal] = read('/proc/stat')
    .split('\n', 1)[0]
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return user + nice + system + irq + softirq + steal
}

/** Returns the ticks of this process and of its children that have ended. */
function own() {
  // The name in parentheses may contain spaces. utime, stime, cutime and cstime are fields 14 to
  // 17.
  const fields = read('/proc/self/stat').split(') ')[1].split(' ').map(Number)
  return fields[11] + fields[12] + fields[13] + fields[14]
}

/** Returns one line. @param {Machine} machine @param {string} node its version */
export function describe({ cpu, cores, linux, rust, maxDgramQlen }, node) {
  return `${cpu} x ${cores}, Linux ${linux}, Node ${node}, Rust ${rust}, max_dgram_qlen ${maxDgramQlen}`
}

/** Returns what a program prints with --version. @param {string} program */
export function versionOf(program) {
  return execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()
}

/** @param {string} path */
function read(path) {
  return readFileSync(path, 'utf8')
}
