// @ts-check
/**
 * Measures what the parts of sending and receiving a message of 64 B cost in V8 and in the kernel, in ns
 * of CPU time a message. A library in JavaScript cannot be faster than the sum of the parts it needs.
 *
 *     node bench/parts.mjs
 *     node bench/parts.mjs --node 24
 */

import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseCommandLine } from '../scripts/command-line.mjs'
import { findNode } from './place.mjs'

const SIZE = 64
const MESSAGES = 1_000_000
/** Passes before the measured ones, in which V8 optimizes the code, and measured passes. */
const WARM_UP = 4
const PASSES = 7

const flags = parseCommandLine(import.meta.url, { node: { type: 'string' } })
if (flags.node === undefined) measureAll()
else execFileSync(findNode(flags.node), [fileURLToPath(import.meta.url)], { stdio: 'inherit' })

/** @param {string} part @param {() => void} pass handles `MESSAGES` messages */
function measure(part, pass) {
  for (let i = 0; i < WARM_UP; i++) pass()
  const costs = Array.from({ length: PASSES }, () => {
    const before = process.cpuUsage()
    pass()
    const { user, system } = process.cpuUsage(before)
    return ((user + system) * 1000) / MESSAGES
  }).sort((a, b) => a - b)
  console.log(`${part.padEnd(46)} ${costs[PASSES >> 1]?.toFixed(1).padStart(6)}`)
}

function measureAll() {
  console.log(`Node ${process.version}, ${SIZE} B: ns a message`)
  // As in the benchmark, one of 64 messages is not ASCII.
  const texts = Array.from({ length: 64 }, (_, i) => `${i === 7 ? 'é' : 'e'}${i}`.padEnd(SIZE, 'x'))
  const buffers = texts.map(text => Buffer.from(text).subarray(0, SIZE))
  const values = texts.map((name, seq) => ({ seq, name: name.slice(0, 40), fds: 0 }))
  const jsons = values.map(value => JSON.stringify(value))
  /** @type {any} The methods of Buffer that @types/node does not declare */
  const block = Buffer.allocUnsafeSlow(128 * 1024)
  const room = block.length - 4 * SIZE
  let sum = 0

  measure('send: check that a text is well formed', () => {
    for (let i = 0; i < MESSAGES; i++) if (text(i).isWellFormed()) sum++
  })
  measure('send: append a text to a string, read as UTF-16', () => {
    for (let i = 0, rope = ''; i < MESSAGES; i++) {
      rope += text(i)
      if (rope.length < 24 * 1024) continue
      sum += block.ucs2Write(rope, 0)
      rope = ''
    }
  })
  measure('send: utf8Write of a text', () => {
    for (let i = 0, at = 0; i < MESSAGES; i++) {
      at = at < room ? at + block.utf8Write(text(i), at) : 0
    }
  })
  measure('send: copy a Buffer (TypedArray set)', () => {
    for (let i = 0, at = 0; i < MESSAGES; i++) {
      block.set(/** @type {Buffer} */ (buffers[i & 63]), at)
      at = at < room ? at + SIZE : 0
    }
  })
  measure('send: JSON.stringify', () => {
    for (let i = 0; i < MESSAGES; i++) sum += JSON.stringify(values[i & 63]).length
  })
  measure('receive: slice of a text', () => {
    for (let i = 0; i < MESSAGES; i++) sum += block.latin1Slice(0, SIZE).length
  })
  measure('receive: a text from a slice of 8 KiB (substring)', () => {
    for (let i = 0, run = '', at = 0; i < MESSAGES; i++, at += SIZE) {
      if (at >= run.length) {
        run = block.latin1Slice(0, 8 * 1024)
        at = 0
      }
      sum += run.substring(at, at + SIZE).length
    }
  })
  const View = /** @type {any} */ (Buffer)[Symbol.species]
  measure('receive: a view, the cheapest Buffer', () => {
    for (let i = 0, memory = block.buffer, at = 0; i < MESSAGES; i++, at += SIZE) {
      if (at > 64 * 1024 - SIZE) {
        memory = Buffer.allocUnsafeSlow(64 * 1024).buffer
        at = 0
      }
      sum += new View(memory, at, SIZE).length
    }
  })
  measure('receive: JSON.parse', () => {
    for (let i = 0; i < MESSAGES; i++) sum += JSON.parse(/** @type {string} */ (jsons[i & 63])).seq
  })
  measure('receive: JSON.parse of 64 values in an array', () => {
    const array = `[${jsons}]`
    for (let i = 0; i < MESSAGES; i += 64) sum += JSON.parse(array).length
  })
  if (sum === 0) throw new Error('The parts must have results')

  /** @param {number} i */
  function text(i) {
    return /** @type {string} */ (texts[i & 63])
  }
}
