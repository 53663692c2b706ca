// @ts-check
/**
 * One large message in processes that have sent none before: how much memory it takes at its peak.
 * It is ASCII, since V8 keeps a string with anything beyond latin1 in twice its bytes, whoever made it.
 */

import { readFileSync, writeFileSync } from 'node:fs'

/** What the message repeats; a prime number of bytes, so that no two pages of it are the same. */
const PATTERN = Array.from({ length: 4093 }, (_, i) =>
  String.fromCharCode(97 + ((i * i) % 26)),
).join('')
const BYTES = Buffer.from(PATTERN)

/** Bytes that were resident when `startPeak` was called. */
let base = 0

/** From here on the peak counts. */
export function startPeak() {
  // The kernel's way to forget the peak so far; see proc_pid_clear_refs(5).
  writeFileSync('/proc/self/clear_refs', '5')
  base = inStatus('VmRSS')
}

/** Resident bytes at the peak beyond those at the start. */
export function peak() {
  return inStatus('VmHWM') - base
}

/**
 * Made without garbage of its size, which would count as well.
 * @param {number} size bytes
 * @param {string} how `text` or `buffer`
 * @returns {any}
 */
export function makeLone(size, how) {
  if (how === 'buffer') return Buffer.alloc(size, BYTES)
  const text = PATTERN.repeat(Math.floor(size / PATTERN.length)) + PATTERN.slice(0, size % 4093)
  // A string that was put together becomes flat when somebody looks at it.
  text.charCodeAt(0)
  return text
}

/**
 * @param {any} message
 * @param {number} size
 */
export function isLone(message, size) {
  if (message.length !== size) return false
  for (let at = 0; at < size; at += PATTERN.length) {
    const length = Math.min(PATTERN.length, size - at)
    const right =
      typeof message === 'string'
        ? message.startsWith(length < PATTERN.length ? PATTERN.slice(0, length) : PATTERN, at)
        : message.compare(BYTES, 0, length, at, at + length) === 0
    if (!right) return false
  }
  return true
}

/** @param {string} key of a number of kB */
function inStatus(key) {
  const status = readFileSync('/proc/self/status', 'utf8')
  return Number(new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
}
