// @ts-check
/**
 * The peak memory of one large message in processes that have sent no message before. The message
 * is ASCII, because V8 stores a string with a character outside latin1 in two bytes per character.
 */

import { readFileSync, writeFileSync } from 'node:fs'

/** The message repeats this text. Its length is prime, so that all pages of the message differ. */
const PATTERN = Array.from({ length: 4093 }, (_, i) =>
  String.fromCharCode(97 + ((i * i) % 26)),
).join('')
const BYTES = Buffer.from(PATTERN)

/** The resident memory when `startPeak` was called (bytes). */
let base = 0

/** Starts to measure the peak memory. */
export function startPeak() {
  // This resets VmHWM; see proc_pid_clear_refs(5).
  writeFileSync('/proc/self/clear_refs', '5')
  base = inStatus('VmRSS')
}

/**
 * Returns the peak of the resident memory since `startPeak`, less the memory at that time (bytes).
 */
export function peak() {
  return inStatus('VmHWM') - base
}

/**
 * Creates the message without garbage of its size, which would add to the peak.
 * @param {number} size bytes; of JSON, those of its only property
 * @param {string} how `text`, `buffer` or `json`
 * @returns {any}
 */
export function makeLone(size, how) {
  if (how === 'buffer') return Buffer.alloc(size, BYTES)
  const text = PATTERN.repeat(Math.floor(size / PATTERN.length)) + PATTERN.slice(0, size % 4093)
  // Reading a character makes V8 flatten the concatenated string.
  text.charCodeAt(0)
  return how === 'json' ? { text } : text
}

/**
 * @param {any} received
 * @param {number} size
 */
export function isLone(received, size) {
  const message = received.text ?? received
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

/**
 * Returns a field of `/proc/self/status` in bytes.
 * @param {string} key the name of a field in kB
 */
function inStatus(key) {
  const status = readFileSync('/proc/self/status', 'utf8')
  return Number(new RegExp(`^${key}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
}
