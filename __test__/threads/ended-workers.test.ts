import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { settledFdTargets } from '../support/descriptors.js'
import { testPath } from '../support/processes.js'
import { canary } from '../support/rights.js'

destroyChannelsAfterEach()

const WORKER = testPath('support/children/ended-worker.mjs')
const OPTIONS = { protocol: 'length_prefixed', encoding: 'json', maxFds: 8 } as const
const NAMES = [
  'sends',
  'answers',
  'stays',
  'serves',
  'requests',
  'iterates',
  'opens',
  'duplex',
  'wakes',
]

/** Workers in all, and how many of them live at the same time. */
const WORKERS = 200
const AT_ONCE = 8

/** Terminates a worker in the middle of what it does, with messages and descriptors under way. */
async function endOne(name: string): Promise<void> {
  const [ours, theirs] = pair(OPTIONS)
  track(ours)
  const watched = canary()
  const worker = new Worker(WORKER, { workerData: { name, fd: theirs.detach() } })
  const ready = once(worker, 'message')
  // once() would reject with the error that comes before the end.
  const closed = new Promise<void>(resolve => ours.on('close', resolve))
  ours.on('error', () => {})
  // What the worker sends is read, except by the first of each kind of traffic: it has to queue.
  if (name !== 'sends') ours.on('message', (_, fds) => fds.close())
  const fds = name === 'duplex' ? [] : [watched.fd]
  for (let i = 0; i < 20; i++) ours.send({ i }, { fds })
  await ready
  await worker.terminate()
  ours.on('message', (_, fds) => fds.close())
  await closed
  watched.close()
  await watched.released
}

describe('two hundred workers with open channels', () => {
  it('leave no descriptor open when they are terminated in the middle of their work', async () => {
    const before = await settledFdTargets()
    let next = 0
    const one = async () => {
      while (next < WORKERS) await endOne(NAMES[next++ % NAMES.length] as string)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, one))
    expect(next).toBe(WORKERS)
    await expect.poll(settledFdTargets, { timeout: 20_000 }).toEqual(before)
  }, 300_000)
})
