import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { settledFdTargets } from '../support/descriptors.js'
import { testPath } from '../support/processes.js'

const OPTIONS = { protocol: 'length_prefixed', encoding: 'json' } as const
const WORKER = testPath('support/children/busy-poll.mjs')

describe('a worker thread that polls', () => {
  it.each(['hot', 'exits'])('ends with all its descriptors closed (case %s)', async name => {
    const before = await settledFdTargets()
    for (let i = 0; i < 5; i++) {
      const [ours, theirs] = pair(OPTIONS)
      const workerData = [name, theirs.detach(), { ...OPTIONS, busyPoll: 1_000 }]
      const worker = new Worker(WORKER, { workerData })
      const exited = once(worker, 'exit')
      const closed = new Promise<void>(resolve => ours.once('close', () => resolve()))
      // A worker that ends leaves messages unread.
      ours.on('error', error => expect(error).toMatchObject({ code: 'ECONNRESET' }))
      ours.on('message', value => void ours.send((value as number) + 1))
      ours.send(0)
      if (name === 'hot') {
        await once(worker, 'message')
        await worker.terminate()
      }
      await exited
      await closed
    }
    expect(await settledFdTargets()).toEqual(before)
  })
})
