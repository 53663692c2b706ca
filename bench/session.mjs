// @ts-check
/** One run: starts a sender, which starts its receiver, and lets it send the batches. */

import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { lastCore, watchOthers } from './machine.mjs'

/** Batches before the counted one: short ones make Node look 2 to 3 times slower than it is. */
const WARM_UP = 3

/** Kinds of work whose client is always the floor, so that the server alone makes the difference. */
const SERVED = ['accept', 'idle']

/** ms until a run that got stuck is given up. */
const TIMEOUT = 15_000

/**
 * @typedef {object} Result
 * @property {number} rate messages in a second
 * @property {number} [p50] ns of a round trip
 * @property {number} [p99] ns
 * @property {number} [resident] bytes of a connection that stays open
 * @property {number} perMiB ns of a batch for each MiB of one message
 * @property {number} [peak] memory of the end that takes more, as a multiple of the message's size
 * @property {number} others cores that others used meanwhile
 */

/**
 * @param {import('./scenario.mjs').Run} run
 * @param {import('./scenario.mjs').Scenario} scenario
 * @param {{ floor: string, directory: string, file: string }} place
 * @returns {Promise<Result>}
 */
export async function runOnce(run, scenario, { floor, directory, file }) {
  const path = `${directory}/socket`
  const { work } = scenario
  const batches = work === 'lone' ? 1 : WARM_UP + 1
  const size = run.size ?? scenario.size
  const served = SERVED.includes(work) && run.program !== 'floor'
  const command = [
    ...(work === 'trips' ? ['taskset', '-c', lastCore()] : []),
    ...(served || run.program === 'floor' ? [floor] : [process.execPath, peer(run.program)]),
    ...(served ? [`node=${process.execPath}`, `receiver=${peer(run.program)}`] : []),
    ...['role=send', `work=${work}`, `topology=${run.topology}`, `how=${run.how}`],
    ...[`path=${path}`, `file=${file}`, `size=${size}`, `fds=${scenario.fds}`],
    ...[`count=${run.count}`, `batches=${batches}`],
  ]
  for (const name of [path, `${path}.back`]) rmSync(name, { force: true })
  const others = watchOthers()
  const { took, p50, p99, grown, peak: bytes } = judge(await converse(command, batches))
  return {
    rate: (run.count / took) * 1e9,
    p50,
    p99,
    resident: grown / (run.count * WARM_UP),
    perMiB: (took / size) * 2 ** 20,
    peak: bytes / size,
    others: others(),
  }
}

/** @param {string} program */
function peer(program) {
  return fileURLToPath(new URL(`peers/${program}.mjs`, import.meta.url))
}

/**
 * @param {string[]} command
 * @param {number} batches
 */
async function converse([name, ...args], batches) {
  // A group of its own, so that a stuck receiver goes with its sender.
  const sender = spawn(name, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
  const killGroup = () => {
    try {
      if (sender.pid) process.kill(-sender.pid, 'SIGKILL')
    } catch {
      // Both have ended already.
    }
  }
  let complaint = ''
  sender.stderr.on('data', chunk => {
    complaint += chunk
  })
  sender.stdin.on('error', () => {})
  // Its receiver holds the same stdout, so without this a crash would look like a long silence.
  sender.once('exit', code => code !== 0 && killGroup())
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    killGroup()
  }, TIMEOUT)
  process.once('exit', killGroup)
  const exited = new Promise((resolve, reject) => {
    sender.once('error', reject)
    sender.once('close', resolve)
  })
  // Awaited at the end; until then a sender that could not start shows as the end of its lines.
  exited.catch(() => {})

  try {
    const all = await readBatches(sender, batches)
    sender.stdin.end()
    await exited
    return all
  } catch (error) {
    if (complaint) throw new Error(reasonIn(complaint))
    throw timedOut ? new Error(`no end after ${TIMEOUT} ms`) : error
  } finally {
    clearTimeout(timer)
    process.off('exit', killGroup)
    killGroup()
    await exited.catch(() => {})
  }
}

/**
 * Sends `go` for one batch after the other; gives what both ends said about each.
 * @param {import('node:child_process').ChildProcessWithoutNullStreams} sender
 * @param {number} count
 */
async function readBatches(sender, count) {
  const batches = []
  let sent
  let done
  for await (const line of createInterface({ input: sender.stdout })) {
    const said = JSON.parse(line)
    if (said.event === 'sent') sent = said
    else if (said.event === 'done') done = said
    else if (said.event !== 'ready') throw new Error(`unexpected line: ${line}`)
    if (said.event !== 'ready' && !(sent && done)) continue
    if (sent && done) batches.push({ sent, done })
    sent = done = undefined
    if (batches.length === count) return batches
    sender.stdin.write('go\n')
  }
  throw new Error(`it ended after ${batches.length} batches`)
}

/**
 * The counted batch, if all that arrived was right and no descriptor stayed open.
 * @param {{ sent: any, done: any }[]} batches
 */
function judge(batches) {
  for (const { sent, done } of batches) {
    const wrong = done.wrong + (sent.wrong ?? 0)
    if (wrong > 0) throw new Error(`${wrong} messages arrived wrong`)
  }
  const first = batches[0].done
  const { sent, done } = batches[batches.length - 1]
  if (done.open > first.open) throw new Error(`${done.open - first.open} descriptors stayed open`)
  return {
    took: Number(BigInt(sent.end ?? done.end) - BigInt(sent.start)),
    p50: sent.p50,
    p99: sent.p99,
    grown: done.resident - first.resident,
    peak: Math.max(sent.peak, done.peak),
  }
}

/** The line of a stack that says what happened. @param {string} complaint */
function reasonIn(complaint) {
  const lines = complaint.split('\n').filter(line => line.trim() !== '')
  return (lines.find(line => /^\s*(\w*Error\b|thread .*panicked)/.test(line)) ?? lines[0] ?? '')
    .trim()
    .replace(/^Error /, '')
}
