// Measures by which factor `fdwire tap` slows down two processes that pass 253 descriptors with each
// message at full speed. Prints the median of five pairs of runs, without and with the tap.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ENDS = fileURLToPath(new URL('../__test__/support/children/tap-ends.mjs', import.meta.url))
const MAIN = fileURLToPath(new URL('../dist/lib/cli/main.js', import.meta.url))
const MESSAGES = 1_000
const SEQPACKET = { protocol: 'jsoncomm', type: 'seqpacket' }
const CASES = [
  ['seqpacket, --quiet', SEQPACKET, ['--quiet']],
  ['seqpacket', SEQPACKET, []],
  ['stream, --quiet', { protocol: 'length_prefixed' }, ['-p', 'length_prefixed', '--quiet']],
]

for (const [name, options, args] of CASES) {
  const ratios = []
  for (let round = 0; round < 5; round++) {
    const alone = await measure(options)
    ratios.push((await measure(options, args)) / alone)
  }
  ratios.sort((a, b) => a - b)
  console.log(`${name}: ${ratios[2].toFixed(2)} (${ratios.map(one => one.toFixed(2)).join(', ')})`)
}

/** Returns the time in which all messages arrive (ms). `args` start a tap between the processes. */
async function measure(options, args) {
  const cwd = mkdtempSync(join(tmpdir(), 'fdwire-slowdown-'))
  const start = command => {
    return spawn(process.execPath, command, { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  }
  const end = (role, path) => start([ENDS, role, path, MESSAGES, JSON.stringify(options)])
  const receiver = end('receive', 'target.sock')
  await once(receiver.stdout, 'data')
  const tap = args && start([MAIN, 'tap', 'tap.sock', 'target.sock', '--once', ...args])
  if (tap) await once(tap.stdout, 'data')
  tap?.stdout.resume()
  const sender = end('send', tap ? 'tap.sock' : 'target.sock')
  const [line] = await once(sender.stdout, 'data')
  await Promise.all([receiver, sender, tap].map(one => one?.exitCode ?? (one && once(one, 'exit'))))
  rmSync(cwd, { recursive: true })
  return JSON.parse(line).ms
}
