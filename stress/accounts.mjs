/** The descriptors and memory of a process, and which of them must be released after each event. */
import { readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pair, stats } from 'fdwire'

/** The smallest number of samples with which the median of a third is meaningful. */
const ENOUGH = 30

/** Time limit for whatever must happen (ms). Only a fault reaches it. */
const LIMIT = 60_000

/** Returns the number of open descriptors of a process; for this process, including the one that reads the folder. */
export const openFds = (pid = 'self') => readdirSync(`/proc/${pid}/fd`).length

/** Describes the open descriptors, for the message of a failure. */
export function describeFds() {
  const targets = readdirSync('/proc/self/fd').map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, 'N')
    } catch {
      return 'gone'
    }
  })
  const counts = new Map()
  for (const target of targets) counts.set(target, (counts.get(target) ?? 0) + 1)
  return [...counts].map(([target, count]) => `${count} ${target}`).join(', ')
}

/** Waits for a condition. Fails with a description if it does not hold within the limit. */
export async function until(condition, what, limit = LIMIT) {
  const end = performance.now() + limit
  for (let pause = 1; !(await condition()); pause = Math.min(pause * 2, 50)) {
    if (performance.now() > end) {
      throw new Error(`Waited ${limit} ms for ${typeof what === 'function' ? what() : what}`)
    }
    await sleep(pause)
  }
}

/** Waits until this process has exactly this many open descriptors, and fdwire closes none. */
export const untilFds = count =>
  until(
    () => stats().closing === 0 && openFds() === count,
    () => `${count} open descriptors; there are ${openFds()}: ${describeFds()}`,
  )

/**
 * Returns a descriptor to send, and `released`, which waits until every duplicate is closed: in each
 * process, in each queue, and in the kernel.
 */
export function canary() {
  const [probe, sent] = pair({ protocol: 'raw' })
  const ended = probe.receive()
  ended.catch(() => {})
  return {
    fd: sent.fd,
    async released() {
      sent.destroy()
      let gone = false
      ended.then(() => {
        gone = true
      })
      await until(() => gone, 'the last duplicate of a descriptor to be closed')
      probe.destroy()
    },
  }
}

/** Returns the memory in use after a collection, in bytes. */
export function memory() {
  global.gc?.()
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
  return { rss, heapUsed, external, arrayBuffers }
}

/**
 * Returns how much larger the median of a series' last third is than that of its middle third. The first
 * third is the warm-up. Returns 0 if there are too few samples to tell.
 */
export function growth(series) {
  if (series.length < ENOUGH) return 0
  const third = Math.floor(series.length / 3)
  return median(series.slice(-third)) - median(series.slice(third, 2 * third))
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

export function check(condition, what) {
  if (!condition) throw new Error(what)
}
