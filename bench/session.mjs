// @ts-check
/** One run: a sender, which starts its receiver, and the batches that it sends. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { firstCore, lastCore, preferGroup, watchOthers } from './machine.mjs'

/** Batches before the measured one. Without warm-up, Node is 2 to 3 times slower. */
export const WARM_UP = 3

/** The work for which both processes run on one core. */
const ONE_CORE = ['trips', 'connect', 'close']

/** The number of sessions so far. */
let sessions = 0

/** Time limit for a line from the processes (ms). */
const TIMEOUT = 30_000

/**
 * @typedef {object} Place
 * @property {string} node the program that runs the peers
 * @property {string} floor the floor's program
 * @property {string} directory the directory of the sockets
 * @property {string} file the file whose descriptor is passed
 * @property {string} [peers] the folder of the peers (`peers` next to this file)
 *
 * @typedef {import('./scenario.mjs').Run} Run
 * @typedef {import('./scenario.mjs').Scenario} Scenario
 * @typedef {{ sent: any, done: any }} Batch what sender and receiver reported about a batch
 *
 * @typedef {object} Result
 * @property {number} rate messages or connections per second
 * @property {number} cpu CPU time of both processes for each of them (ns); NaN for a lone message
 * @property {number} [p50] median time of a round trip (ns)
 * @property {number} [p99] the 99th percentile of the time of a round trip (ns)
 * @property {number} resident memory that a connection adds (bytes)
 * @property {number} heap JavaScript heap that a connection adds (bytes)
 * @property {number} perMiB time of a lone message per MiB (ns)
 * @property {number} peak memory of the process that needs more, as a multiple of the message's
 *   size
 * @property {number} others cores that other processes used during the run
 */

/**
 * Runs the warm-up batches and the measured one in new processes.
 * @param {Run} run
 * @param {Scenario} scenario
 * @param {Place} place
 * @param {number} warmUp
 * @returns {Promise<Result>}
 */
export async function runOnce(run, scenario, place, warmUp = WARM_UP) {
  const count = scenario.work === 'lone' ? 1 : warmUp + 1
  const others = watchOthers()
  const session = new Session(run, scenario, place, count)
  /** @type {Batch[]} */
  const batches = []
  try {
    await session.start()
    while (batches.length < count) batches.push(await session.batch())
    await session.end()
  } finally {
    await session.kill()
  }
  return { ...resultOf(batches, run, scenario), others: others() }
}

/** A sender and its receiver. */
export class Session {
  #sender
  #lines
  #killGroup
  #exited
  #stderr = ''

  /**
   * @param {Run} run
   * @param {Scenario} scenario
   * @param {Place} place
   * @param {number} batches the most batches that it may have to send
   */
  constructor(run, scenario, place, batches) {
    const path = `${place.directory}/${++sessions}`
    const [program, ...args] = commandOf(run, scenario, place, path, batches)
    // The processes form a group, so that a receiver that hangs is killed together with its sender.
    const sender = spawn(/** @type {string} */ (program), args, { detached: true, stdio: 'pipe' })
    this.#sender = sender
    if (sender.pid) preferGroup(sender.pid)
    this.#killGroup = () => {
      try {
        if (sender.pid) process.kill(-sender.pid, 'SIGKILL')
      } catch {
        // Both processes have ended.
      }
    }
    process.once('exit', this.#killGroup)
    sender.stderr.on('data', chunk => {
      this.#stderr += chunk
    })
    sender.stdin.on('error', () => {})
    // The receiver shares the sender's stdout, so the lines do not end when only the sender
    // crashes.
    sender.once('exit', code => code !== 0 && this.#killGroup())
    this.#exited = once(sender, 'close')
    // If the sender cannot be started, its lines end as well, which `#read` reports.
    this.#exited.catch(() => {})
    this.#lines = createInterface({ input: sender.stdout })[Symbol.asyncIterator]()
  }

  /** Waits until the receiver is ready. */
  async start() {
    const line = await this.#read()
    if (line.event !== 'ready') throw new Error(`Expected 'ready', not ${JSON.stringify(line)}`)
  }

  /** Makes the sender send one batch. @returns {Promise<Batch>} */
  async batch() {
    this.#sender.stdin.write('go\n')
    let sent
    let done
    while (!sent || !done) {
      const line = await this.#read()
      if (line.event === 'sent') sent = line
      else if (line.event === 'done') done = line
      else throw new Error(`Expected 'sent' or 'done', not ${JSON.stringify(line)}`)
    }
    const wrong = done.wrong + (sent.wrong ?? 0)
    if (wrong > 0) throw new Error(`${wrong} messages of a batch differ from those sent`)
    return { sent, done }
  }

  /** Lets both processes end, so that the CPU time of this process's children includes theirs. */
  async end() {
    this.#sender.stdin.end()
    await this.#exited
  }

  /** Kills the processes that are still running. */
  async kill() {
    process.off('exit', this.#killGroup)
    this.#killGroup()
    await this.#exited.catch(() => {})
  }

  async #read() {
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      this.#killGroup()
    }, TIMEOUT)
    const { value, done } = await this.#lines.next()
    clearTimeout(timer)
    if (!done) return JSON.parse(value)
    await this.#exited.catch(() => {})
    if (this.#stderr) throw new Error(reasonIn(this.#stderr))
    throw new Error(timedOut ? `No output for ${TIMEOUT} ms` : 'The sender ended early')
  }
}

/**
 * Returns the result of the last batch, relative to the batches before it.
 * @param {Batch[]} batches
 * @param {Run} run
 * @param {Scenario} scenario
 * @returns {Omit<Result, 'others'>}
 */
function resultOf(batches, run, scenario) {
  const [first] = /** @type {[Batch]} */ (batches)
  const { sent, done } = /** @type {Batch} */ (batches.at(-1))
  const open = done.open - first.done.open
  if (open > 0) throw new Error(`${open} descriptors stayed open`)
  const before = batches.at(-2)
  const cpu = before ? sent.cpu - before.sent.cpu + done.cpu - before.done.cpu : Number.NaN
  const ns = Number(BigInt(sent.end ?? done.end) - BigInt(sent.start))
  const size = run.size ?? scenario.size
  const count = run.count * (run.threads ?? 1)
  // The memory is that of the client or the server, whichever is not the floor.
  const measured = run.end === 'client' ? 'sent' : 'done'
  const [last, start] = measured === 'sent' ? [sent, first.sent] : [done, first.done]
  const added = run.count * (batches.length - 1)
  return {
    rate: (count / ns) * 1e9,
    cpu: (cpu * 1000) / count,
    p50: sent.p50,
    p99: sent.p99,
    resident: (last.resident - start.resident) / added,
    heap: (last.heap - start.heap) / added,
    perMiB: (ns / size) * 2 ** 20,
    peak: Math.max(sent.peak, done.peak) / size,
  }
}

/**
 * @param {Run} run
 * @param {Scenario} scenario
 * @param {Place} place
 * @param {string} path
 * @param {number} batches
 * @returns {string[]}
 */
function commandOf(run, scenario, { node, floor, file, peers }, path, batches) {
  const { work, size, fds, idle = 0, cores = 1, delay = 0 } = scenario
  const folder = peers ?? fileURLToPath(new URL('peers', import.meta.url))
  const script = `${folder}/${run.threads ? 'threads' : run.program}.mjs`
  const floorSends = run.program === 'floor' || run.end === 'server'
  const pinned = ONE_CORE.includes(work)
  return [
    ...(pinned ? ['taskset', '-c', cores === 1 ? lastCore() : firstCore()] : []),
    ...(floorSends ? [floor] : [node, script]),
    ...(run.end === 'server' ? [`node=${node}`, `receiver=${script}`] : []),
    ...(run.end === 'client' ? [`receiver=${floor}`] : []),
    ...['role=send', `work=${work}`, `topology=${run.topology}`, `how=${run.how ?? ''}`],
    ...[`path=${path}`, `file=${file}`, `size=${run.size ?? size}`, `fds=${fds}`],
    ...[`count=${run.count}`, `batches=${batches}`, `idle=${idle}`],
    ...(cores === 2 ? [`core=${lastCore()}`] : []),
    ...(delay > 0 ? [`delay=${delay}`] : []),
    ...(run.busyPoll ? [`busyPoll=${run.busyPoll}`] : []),
    ...(run.threads ? [`peer=${run.program}`, `threads=${run.threads}`] : []),
  ]
}

/** Returns the line of a stack trace that has the error message. @param {string} stderr */
function reasonIn(stderr) {
  const lines = stderr.split('\n').filter(line => line.trim() !== '')
  return (lines.find(line => /^\s*(\w*Error\b|thread .*panicked)/.test(line)) ?? lines[0] ?? '')
    .trim()
    .replace(/^Error /, '')
}
