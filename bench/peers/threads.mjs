// @ts-check
/**
 * Another peer in worker threads: `peer=` names it, `threads=` says how many threads the sender and
 * the receiver have each. Each thread of the sender has its own connection to one of the receiver.
 * All start a batch at the same time, and the batch lasts from the first start to the last end.
 */

import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { onGo, options, report, startReceiver } from './common.mjs'

/** @param {string} key */
const argument = key =>
  /** @type {string} */ (process.argv.find(a => a.startsWith(`${key}=`))).slice(key.length + 1)

const script = fileURLToPath(new URL(`${argument('peer')}.mjs`, import.meta.url))
const workers = Array.from({ length: Number(argument('threads')) }, (_, i) => {
  const own = process.argv.slice(2).map(a => (a.startsWith('path=') ? `${a}.${i}` : a))
  return new Worker(script, { argv: own })
})

if (options.receives) await receive()
else await send()

async function receive() {
  await linesOfAll()
  report({ event: 'ready' })
  for (;;) {
    const lines = await linesOfAll()
    const end = sorted(lines.map(line => line.end)).at(-1)
    const wrong = lines.reduce((sum, line) => sum + line.wrong, 0)
    // Each thread counts the descriptors of the whole process.
    const open = Math.max(...lines.map(line => line.open))
    report({ event: 'done', end, wrong, open })
  }
}

async function send() {
  await onGo(startReceiver(), async () => {
    const all = linesOfAll()
    for (const worker of workers) worker.postMessage('go')
    const [start] = sorted((await all).map(line => line.start))
    report({ event: 'sent', start })
  })
}

/** Sorts times in ns, which are strings of digits. @param {string[]} times */
function sorted(times) {
  return times.toSorted((a, b) => Number(BigInt(a) - BigInt(b)))
}

/** Returns the next line of each worker. @returns {Promise<any[]>} */
function linesOfAll() {
  return Promise.all(
    workers.map(worker => {
      return new Promise((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    }),
  )
}
