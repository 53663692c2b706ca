// @ts-check
/**
 * What every peer of the benchmark shares: its arguments, the ring of messages, the comparison of
 * what arrives, and the conversation with the runner.
 *
 * The runner starts a sender, the sender starts its receiver, which shares the sender's stdout.
 * Both write lines of JSON there:
 *
 *     receiver  {"event":"ready"}                      it can be sent to
 *     sender    {"event":"sent","start":"<ns>"}        once a batch, with p50 and p99 for trips
 *     receiver  {"event":"done","end":"<ns>",…}        once a batch, when the last message is there
 *
 * Where the batch ends with the sender (it waits for echoes) its line has an `end` as well.
 *
 * For each line on its stdin the sender sends one batch. Times are CLOCK_MONOTONIC in ns, which is
 * the same in both processes. `floor/src/main.rs` speaks this too.
 */

import { spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { isLone, makeLone, peak, startPeak } from './lone.mjs'

/** How many different messages there are; they are sent in a circle. */
const RING = 64

/** The one message that is not ASCII, so that nothing is decoded as latin1 by luck. */
const NON_ASCII = 7

/** Every how many messages the descriptors are looked at (their number: always). */
const SAMPLE = 64

/**
 * Every how many messages bytes and large texts are compared whole: doing that costs as much as
 * receiving them. It shares no factor with RING, so that each place of it has its turn. Of all others the
 * length and some places are compared.
 */
const WHOLE = 15

/** A text is large from this length on (bytes). */
const LARGE = 4096

/** Where the two digits of the number stand in a text. */
const SEQ = 7

const given = new Map(
  process.argv.slice(2).map(argument => {
    const at = argument.indexOf('=')
    return [argument.slice(0, at), argument.slice(at + 1)]
  }),
)

/** @param {string} key */
function text(key) {
  const value = given.get(key)
  if (value === undefined) throw new Error(`${key}= is missing`)
  return value
}

export const options = {
  receives: text('role') === 'receive',
  /** `oneway`, or what else a scenario measures: see `scenarios.mjs`. */
  work: text('work'),
  /** Round trips instead of one way. */
  trips: text('work') === 'trips',
  /** An inherited socketpair instead of a path. */
  pair: ['pair', 'seqpacket'].includes(text('topology')),
  /** With the borders of datagrams, but connected. */
  seqpacket: text('topology') === 'seqpacket',
  /** A stream to a path instead of datagrams. */
  stream: text('topology') === 'stream',
  /** What is sent and how, for peers with more than one way: `buffer`, `text`, `json`, `all`, … */
  how: given.get('how') ?? '',
  path: text('path'),
  /** The file whose descriptor is passed. */
  file: text('file'),
  /** Bytes of a message. */
  size: Number(text('size')),
  /** Descriptors beside each message. */
  fds: Number(text('fds')),
  /** Messages of a batch. */
  count: Number(text('count')),
}

/** @typedef {{ seq: number, fds: number, name: string }} Value */

const lone = options.work === 'lone'

/** JSON texts of exactly `size` bytes, the same as `ring` in `floor/src/messages.rs`. */
export const values = Array.from({ length: lone ? 0 : RING }, (_, i) => {
  const value = { seq: 10 + i, fds: options.fds, name: i === NON_ASCII ? 'ü☃' : '' }
  const missing = options.size - Buffer.byteLength(JSON.stringify(value))
  value.name += String.fromCharCode(97 + (i % 26)).repeat(missing)
  return value
})
export const texts = values.map(value => JSON.stringify(value))
export const buffers = texts.map(json => Buffer.from(json))

/** Opens the file that is passed, once for each descriptor of a message. */
export function openFds() {
  return Array.from({ length: options.fds }, () => openSync(options.file, 'r'))
}

/** The inode that a passed descriptor must have. */
export function inodeOfFile() {
  const fd = openSync(options.file, 'r')
  const { ino } = fstatSync(fd)
  closeSync(fd)
  return ino
}

/** @param {object} line */
export function say(line) {
  if (lone && 'event' in line && line.event === 'ready') startPeak()
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** The ring in the form that `how` says, or the lone message. @returns {any[]} */
export function messages() {
  if (lone) {
    startPeak()
    return [makeLone(options.size, options.how)]
  }
  return { text: texts, buffer: buffers }[options.how] ?? values
}

/** Compares what arrives with what must have been sent, and says when a batch is complete. */
export class Tally {
  #inode
  #taken = 0
  #wrong = 0

  /** @param {number} inode of every passed descriptor */
  constructor(inode = options.fds > 0 ? inodeOfFile() : 0) {
    this.#inode = inode
  }

  /** @param {Value} value */
  takeValue(value) {
    const expected = values[this.#taken % RING]
    const right =
      value.seq === expected.seq && value.fds === expected.fds && value.name === expected.name
    this.#count(right)
  }

  /** @param {Buffer} buffer */
  takeBuffer(buffer) {
    const expected = /** @type {Buffer} */ (buffers[this.#taken % RING])
    const { length } = expected
    const right =
      this.#taken % WHOLE === 0
        ? buffer.equals(expected)
        : buffer.length === length &&
          buffer[SEQ] === expected[SEQ] &&
          buffer[SEQ + 1] === expected[SEQ + 1] &&
          buffer[length >> 1] === expected[length >> 1] &&
          buffer[length - 1] === expected[length - 1]
    this.#count(right)
  }

  /** @param {string} text */
  takeText(text) {
    const expected = /** @type {string} */ (texts[this.#taken % RING])
    const right =
      options.size < LARGE || this.#taken % WHOLE === 0
        ? text === expected
        : text.length === expected.length && text.charCodeAt(SEQ) === expected.charCodeAt(SEQ)
    this.#count(right)
  }

  /** The one of the three above that `how` asks for. @returns {(message: any) => void} */
  taker() {
    if (lone) return message => this.#takeLone(message)
    if (options.how === 'text') return text => this.takeText(text)
    if (options.how === 'buffer') return buffer => this.takeBuffer(buffer)
    return value => this.takeValue(value)
  }

  /**
   * Before the value that they came with. Whoever received them closes them.
   * @param {number} length
   * @param {(index: number) => number} get
   */
  takeFds(length, get) {
    if (length !== options.fds) this.#wrong++
    if (this.#taken % SAMPLE !== 0) return
    for (let i = 0; i < length; i++) if (fstatSync(get(i)).ino !== this.#inode) this.#wrong++
  }

  /** What a sender of round trips has counted so far. */
  get wrong() {
    return this.#wrong
  }

  /** Looks at the message only after the clock and the memory. @param {any} message */
  #takeLone(message) {
    const said = { event: 'done', end: String(process.hrtime.bigint()), peak: peak(), open: 0 }
    say({ ...said, wrong: isLone(message, options.size) ? 0 : 1 })
  }

  /** @param {boolean} right */
  #count(right) {
    if (!right) this.#wrong++
    if (++this.#taken < options.count || !options.receives) return
    const end = String(process.hrtime.bigint())
    // A descriptor that is received and not closed shows as a number that grows.
    const open = readdirSync('/proc/self/fd').length
    say({ event: 'done', end, wrong: this.#wrong, open })
    this.restart()
  }

  /** Every batch begins at the ring's first message. */
  restart() {
    this.#taken = 0
    this.#wrong = 0
  }
}

/**
 * Starts this program's receiver, with what it shall have beside stdin and stdout.
 * @param {import('node:child_process').StdioOptions & any[]} more
 * @param {string[]} extra arguments
 * @param {'json' | 'advanced'} serialization of an `ipc` among them
 */
export function startReceiver(more = [], extra = [], serialization = 'json') {
  const script = /** @type {string} */ (process.argv[1])
  const own = process.argv.slice(2).map(a => (a === 'role=send' ? 'role=receive' : a))
  const receiver = spawn(process.execPath, [script, ...own, ...extra], {
    stdio: ['ignore', 'inherit', 'inherit', ...more],
    serialization,
  })
  receiver.once('exit', code => code && process.exit(code))
  return receiver
}

/**
 * Calls `batch` for each line on stdin; at its end the sender stops its receiver and is done.
 * @param {import('node:child_process').ChildProcess} receiver
 * @param {() => void | Promise<void>} batch
 */
export async function onGo(receiver, batch) {
  for await (const _ of createInterface({ input: process.stdin })) await batch()
  receiver.once('exit', () => process.exit(0))
  receiver.kill()
}

/**
 * Sends a batch as fast as `next` says; `next` returns false when it wants to be resumed, by
 * calling what it is given.
 * @param {(index: number, resume: () => void) => boolean} next
 */
export function sendBatch(next) {
  return /** @type {Promise<void>} */ (
    new Promise(resolve => {
      const start = String(process.hrtime.bigint())
      let sent = 0
      const go = () => {
        while (sent < options.count) if (!next(sent++ % RING, go)) return
        say({ event: 'sent', start, ...(lone ? { peak: peak() } : {}) })
        resolve()
      }
      go()
    })
  )
}

/** Round trips one after the other, each timed. */
export class Trips {
  #took = new Float64Array(options.count)
  #done = 0
  #before = 0
  #start = ''
  #send
  #resolve = () => {}
  tally

  /**
   * @param {(index: number) => void} send
   * @param {Tally} tally
   */
  constructor(send, tally = new Tally()) {
    this.#send = send
    this.tally = tally
  }

  /** One batch. */
  run() {
    this.tally.restart()
    this.#done = 0
    this.#start = String(process.hrtime.bigint())
    return /** @type {Promise<void>} */ (
      new Promise(resolve => {
        this.#resolve = resolve
        this.#next()
      })
    )
  }

  /** The answer is here (and has been given to the tally). */
  answered() {
    this.#took[this.#done++] = performance.now() - this.#before
    if (this.#done < options.count) return this.#next()
    const sorted = this.#took.slice().sort()
    say({
      event: 'sent',
      start: this.#start,
      p50: Math.round(sorted[options.count >> 1] * 1e6),
      p99: Math.round(sorted[Math.floor(options.count * 0.99)] * 1e6),
      wrong: this.tally.wrong,
    })
    this.#resolve()
  }

  #next() {
    const index = this.#done % RING
    this.#before = performance.now()
    this.#send(index)
  }
}
