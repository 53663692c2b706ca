// @ts-check
/**
 * What all peers of the benchmark share: the arguments, the ring of messages, the check of the
 * received messages, and the protocol between the runner and the peers.
 *
 * The runner starts a sender. The sender starts its receiver, which shares the sender's stdout.
 * Both write lines of JSON to it:
 *
 *     receiver  {"event":"ready"}                          it is ready to receive
 *     sender    {"event":"sent","start":"<ns>","cpu":…}    after each batch; round trips: p50, p99
 *     receiver  {"event":"done","end":"<ns>","cpu":…,…}    after the last message of each batch
 *
 * `cpu` is the CPU time that the process has used so far (µs). If the batch ends in the sender,
 * because it waits for replies, the sender's line also has an `end`.
 *
 * The sender sends one batch for each line on its stdin. Times are CLOCK_MONOTONIC in ns, which is
 * the same clock in both processes. `floor/src/main.rs` implements the same protocol. In a worker
 * thread, messages take the place of the lines; `threads.mjs` is between them and the runner.
 */

import { spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { isMainThread, parentPort } from 'node:worker_threads'
import { isLone, makeLone, peak, startPeak } from './lone.mjs'

/** Number of different messages. The sender cycles through them. */
const RING = 64

/** Index of the only message that is not ASCII, so that a decoder that assumes latin1 fails. */
const NON_ASCII = 7

/** The descriptors of every 64th message are checked with fstat; their number is always checked. */
const SAMPLE = 64

/**
 * Every 15th message is compared as a whole if it is a Buffer or a text. Of the others only the length
 * and a few bytes or characters are compared, because a whole comparison costs as much as receiving
 * the message. 15 and RING have no common factor, so each message of the ring is compared at some
 * time.
 */
const WHOLE = 15

/** The size below which a value has room for only one property (bytes). */
const SMALL = 44

const given = new Map(
  process.argv.slice(2).map(argument => {
    const at = argument.indexOf('=')
    return [argument.slice(0, at), argument.slice(at + 1)]
  }),
)

/** @param {string} key */
function text(key) {
  const value = given.get(key)
  if (value === undefined) throw new Error(`Argument ${key}= is missing`)
  return value
}

/** What `how` consists of: the encoding, and before it the way of sending or receiving, if any. */
const words = (given.get('how') ?? '').split(' ')

export const options = {
  receives: text('role') === 'receive',
  /** What a batch does: see `Work` in `scenario.mjs`. */
  work: text('work'),
  /** Whether a batch is round trips. */
  trips: text('work') === 'trips',
  /** Whether the two processes share an inherited socketpair. */
  pair: ['pair', 'seqpacket'].includes(text('topology')),
  seqpacket: text('topology') === 'seqpacket',
  stream: text('topology') === 'stream',
  /** What the program sends or does, if there are several: `buffer`, `text`, `json`, `destroy`, … */
  how: /** @type {string} */ (words.at(-1)),
  /** How it does that: `sendAll`, `request`, `transient`, or the empty string. */
  way: words.length > 1 ? words[0] : '',
  path: text('path'),
  /** The file whose descriptor is passed. */
  file: text('file'),
  /** Bytes of a message. */
  size: Number(text('size')),
  /** Descriptors of each message. */
  fds: Number(text('fds')),
  /** Messages of a batch. */
  count: Number(text('count')),
  /** Further connections, on which no message is sent. */
  idle: Number(given.get('idle') ?? 0),
  /** fdwire's option of this name (µs). */
  busyPoll: Number(given.get('busyPoll') ?? 0),
  /** How long the receiver waits before it replies (ms). */
  delay: Number(given.get('delay') ?? 0),
  /** The core on which the receiver runs. Default: that of the sender. */
  core: given.get('core'),
  /** The program that receives instead of this one. */
  receiver: given.get('receiver'),
}

/** Offset of the two digits of the sequence number in a text. */
const SEQ = options.size < SMALL ? 9 : 7

/** @typedef {{ seq?: number, fds?: number, name: string }} Value */

const lone = options.work === 'lone'

/** Values whose JSON has exactly `size` bytes, the same as `ring` in `floor/src/messages.rs`. */
export const values = Array.from({ length: lone ? 0 : RING }, (_, i) => {
  /** @type {Value} */
  const value =
    options.size < SMALL
      ? { name: `${10 + i}${i === NON_ASCII ? '☃' : ''}` }
      : { seq: 10 + i, fds: options.fds, name: i === NON_ASCII ? 'ü☃' : '' }
  const missing = options.size - Buffer.byteLength(JSON.stringify(value))
  value.name += String.fromCharCode(97 + (i % 26)).repeat(missing)
  return value
})
export const texts = values.map(value => JSON.stringify(value))
export const buffers = texts.map(json => Buffer.from(json))

/** Opens the passed file once for each descriptor of a message. */
export function openFds() {
  return Array.from({ length: options.fds }, () => openSync(options.file, 'r'))
}

/** Returns the inode of the file that is passed. */
function inodeOfFile() {
  const fd = openSync(options.file, 'r')
  const { ino } = fstatSync(fd)
  closeSync(fd)
  return ino
}

/**
 * Writes a line for the runner. Lines about a batch contain the CPU time of this process.
 * @param {{ event: 'ready' | 'sent' | 'done', [field: string]: unknown }} line
 */
export function report(line) {
  if (line.event !== 'ready') {
    const { user, system } = process.cpuUsage()
    line = { cpu: user + system, ...line }
  } else if (lone) startPeak()
  if (isMainThread) process.stdout.write(`${JSON.stringify(line)}\n`)
  else parentPort?.postMessage(line)
}

/** Returns the messages to send, in the form that `how` names. @returns {any[]} */
export function messages() {
  if (lone) {
    startPeak()
    return [makeLone(options.size, options.how)]
  }
  return { text: texts, buffer: buffers }[options.how] ?? values
}

/** Compares the received messages with the sent ones, and reports the end of a batch. */
export class Tally {
  #inode
  #taken = 0
  #wrong = 0

  /** @param {number} inode of the file that is passed */
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
    const { length } = expected
    const right =
      this.#taken % WHOLE === 0
        ? text === expected
        : text.length === length &&
          text.charCodeAt(SEQ) === expected.charCodeAt(SEQ) &&
          text.charCodeAt(SEQ + 1) === expected.charCodeAt(SEQ + 1) &&
          text.charCodeAt(length >> 1) === expected.charCodeAt(length >> 1) &&
          text.charCodeAt(length - 1) === expected.charCodeAt(length - 1)
    this.#count(right)
  }

  /**
   * Returns the method that takes messages of the kind in `how`.
   * @returns {(message: any) => void}
   */
  taker() {
    if (lone) return message => this.#takeLone(message)
    if (options.how === 'text') return text => this.takeText(text)
    if (options.how === 'buffer') return buffer => this.takeBuffer(buffer)
    return value => this.takeValue(value)
  }

  /**
   * Checks the descriptors of a message. Call it before the method that takes the message. The
   * caller closes the descriptors.
   * @param {number} length
   * @param {(index: number) => number} get
   */
  takeFds(length, get) {
    if (length !== options.fds) this.#wrong++
    if (this.#taken % SAMPLE !== 0) return
    for (let i = 0; i < length; i++) if (fstatSync(get(i)).ino !== this.#inode) this.#wrong++
  }

  /** The number of wrong messages so far, for a sender of round trips. */
  get wrong() {
    return this.#wrong
  }

  /** Reads the clock and the peak memory before it compares the message. @param {any} message */
  #takeLone(message) {
    const measured = { end: String(process.hrtime.bigint()), peak: peak(), open: 0 }
    report({ event: 'done', ...measured, wrong: isLone(message, options.size) ? 0 : 1 })
  }

  /** @param {boolean} right */
  #count(right) {
    if (!right) this.#wrong++
    if (++this.#taken < options.count || !options.receives) return
    const end = String(process.hrtime.bigint())
    // This number grows by the descriptors that were received and not closed.
    const open = readdirSync('/proc/self/fd').length
    report({ event: 'done', end, wrong: this.#wrong, open })
    this.restart()
  }

  /** Starts a batch with the first message of the ring. */
  restart() {
    this.#taken = 0
    this.#wrong = 0
  }
}

/**
 * Starts the receiver: this program again, or `options.receiver`.
 * In a worker thread `threads.mjs` has started it, and there is nothing to return.
 * @param {import('node:child_process').StdioOptions & any[]} more its descriptors from 3 on
 * @param {string[]} extra arguments
 * @param {'json' | 'advanced'} serialization of an `ipc` among `more`
 */
export function startReceiver(more = [], extra = [], serialization = 'json') {
  if (!isMainThread) return undefined
  const script = /** @type {string} */ (process.argv[1])
  const own = process.argv.slice(2).map(a => (a === 'role=send' ? 'role=receive' : a))
  const command = options.receiver ? [options.receiver] : [process.execPath, script]
  const pinned = options.core === undefined ? [] : ['taskset', '-c', options.core]
  const [program, ...first] = /** @type {[string, ...string[]]} */ ([...pinned, ...command])
  const receiver = spawn(program, [...first, ...own, ...extra], {
    stdio: ['ignore', 'inherit', 'inherit', ...more],
    serialization,
  })
  receiver.once('exit', code => code && process.exit(code))
  return receiver
}

/**
 * Calls `batch` for each line on stdin, then stops the receiver and exits. In a worker thread, calls
 * it for each message.
 * @param {import('node:child_process').ChildProcess | undefined} receiver
 * @param {() => void | Promise<void>} batch
 */
export async function onGo(receiver, batch) {
  if (!isMainThread) return void parentPort?.on('message', batch)
  for await (const _ of createInterface({ input: process.stdin })) await batch()
  if (!receiver) process.exit(0)
  receiver.once('exit', () => process.exit(0))
  receiver.kill()
}

/**
 * Sends a batch. `next` sends one message. If it returns false, it calls `resume` once the next
 * message may be sent.
 * @param {(index: number, resume: () => void) => boolean} next
 */
export function sendBatch(next) {
  return /** @type {Promise<void>} */ (
    new Promise(resolve => {
      const start = String(process.hrtime.bigint())
      let sent = 0
      const go = () => {
        while (sent < options.count) if (!next(sent++ % RING, go)) return
        report({ event: 'sent', start, ...(lone ? { peak: peak() } : {}) })
        resolve()
      }
      go()
    })
  )
}

/** Makes round trips, one after the other, and times each. */
export class RoundTrips {
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

  /** Runs one batch. */
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

  /** Ends a round trip. Call it after the tally has taken the reply. */
  end() {
    this.#took[this.#done++] = performance.now() - this.#before
    if (this.#done < options.count) return this.#next()
    const sorted = this.#took.slice().sort()
    report({
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
