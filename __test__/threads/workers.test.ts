import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { adopt, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  channelPair,
  countOpen,
  destroyChannelsAfterEach,
  JSONCOMM,
  receiveValues,
  track,
  withFd,
} from '../support/channels.js'
import { settledFdTargets } from '../support/descriptors.js'
import { canary, pairWithOptions, TRANSPORTS } from '../support/rights.js'

destroyChannelsAfterEach()

const FILE = new URL('../support/children/worker.mjs', import.meta.url)

/**
 * Starts a worker in a case of children/worker.mjs with one half of a pair; returns the other half.
 */
async function startWorker(name: string): Promise<[Worker, Channel]> {
  const [ours, theirs] = channelPair()
  const worker = new Worker(FILE, { workerData: { name, fd: theirs.detach() } })
  await once(worker, 'message')
  return [worker, ours]
}

/** Sends a burst of messages with descriptors, up to the end of the worker. */
function flood(channel: Channel, fd: number) {
  try {
    for (let i = 0; i < 100; i++) channel.send({ text: 'x'.repeat(100) }, { fds: [fd, fd] })
  } catch (error) {
    expect(['ECONNREFUSED', 'EPIPE']).toContain((error as NodeJS.ErrnoException).code)
  }
}

/** Terminates a worker once it has reported the burst; the worker of `exits` ends by itself. */
async function terminate(worker: Worker, name: string) {
  // The last message and 'exit' may come in the same turn: waiting for both in turn can miss
  // 'exit'.
  if (name === 'exits') return void (await once(worker, 'exit'))
  if (name !== 'idle') await once(worker, 'message')
  await worker.terminate()
}

describe.each(TRANSPORTS)('a worker thread with descriptors over %s', (_, options) => {
  /** Starts a worker and sends it descriptors; `released` resolves when all of them are closed. */
  async function startWithBurst(name: string) {
    const [a, b] = pairWithOptions(options, options)
    const worker = new Worker(FILE, { workerData: { name, fd: b.detach(), options } })
    await once(worker, 'message')
    const watched = canary()
    flood(a, watched.fd)
    watched.close()
    return [worker, a, watched.released] as const
  }

  it.each(['reads', 'keeps', 'busy', 'awaits', 'idle', 'queues', 'exits'])(
    'closes undelivered and queued descriptors when it ends (case %s)',
    async name => {
      const before = await settledFdTargets()
      const [worker, a, released] = await startWithBurst(name)
      a.on('error', () => {})
      await terminate(worker, name)
      a.destroy()
      await released
      expect(await settledFdTargets()).toEqual(before)
    },
  )
})

describe('a worker thread', () => {
  it('exchanges messages and descriptors with the main thread', async () => {
    const [worker, channel] = await startWorker('echo')
    await withFd(async fd => {
      const { value, fds } = await channel.request({ hello: 1 }, { fds: [fd] })
      expect([value, fds.length, fds.kind(0)]).toEqual([{ hello: 1 }, 1, 'chardev'])
      fds.close()
    }, '/dev/full')
    await worker.terminate()
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('closes its descriptors when it ends by itself', async () => {
    const before = await settledFdTargets()
    const [worker, channel] = await startWorker('ends')
    await once(worker, 'exit')
    channel.destroy()
    expect(await settledFdTargets()).toEqual(before)
  })

  it.each(['reads', 'keeps', 'busy', 'awaits', 'idle', 'queues', 'exits'])(
    'leaves no descriptor open when it is terminated during a burst (case %s)',
    async name => {
      const before = await settledFdTargets()
      const [worker, channel] = await startWorker(name)
      await withFd(async fd => {
        flood(channel, fd)
        await terminate(worker, name)
      })
      channel.destroy()
      expect(await settledFdTargets()).toEqual(before)
    },
    60_000,
  )

  it('leaves no descriptor open after fifty terminations, in sequence and ten at a time', async () => {
    const before = await settledFdTargets()
    const one = async (name: string) => {
      const [worker, channel] = await startWorker(name)
      await withFd(async fd => {
        flood(channel, fd)
        await once(worker, 'message')
        await worker.terminate()
      })
      channel.destroy()
    }
    for (let i = 0; i < 10; i++) await one(['reads', 'busy'][i % 2] as string)
    for (let i = 0; i < 4; i++) {
      await Promise.all(Array.from({ length: 10 }, (_, k) => one(k % 2 ? 'reads' : 'keeps')))
    }
    expect(await settledFdTargets()).toEqual(before)
  }, 120_000)

  it("does not affect another thread's channels when it is terminated", async () => {
    const [a, b] = channelPair()
    const [worker] = await startWorker('idle')
    a.send(1)
    await worker.terminate()
    a.send(2)
    expect(await receiveValues(b, 2)).toEqual([1, 2])
  })

  it('takes over the descriptor of a detached channel and returns it', async () => {
    const [a, b] = pair(JSONCOMM)
    track(a)
    a.send('for the worker')
    const worker = new Worker(FILE, { workerData: { name: 'detaches', fd: b.detach() } })
    await once(worker, 'message')
    const [fd] = await once(worker, 'message')
    a.send('for us')
    expect(await receiveValues(track(adopt(fd, JSONCOMM)), 1)).toEqual(['for us'])
    await worker.terminate()
  })
})
