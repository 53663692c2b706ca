import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { adopt, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  channelPair,
  countOpen,
  destroyChannelsAfterEach,
  JSONCOMM,
  loopTurns,
  receiveValues,
  track,
  withFd,
} from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { canary, pairWithOptions, TRANSPORTS } from '../support/rights.js'

destroyChannelsAfterEach()

const FILE = new URL('../support/children/worker.mjs', import.meta.url)

/** A worker of children/worker.mjs in a case, with one end of a pair; the other end. */
async function start(name: string): Promise<[Worker, Channel]> {
  const [here, there] = channelPair()
  const worker = new Worker(FILE, { workerData: { name, fd: there.detach() } })
  await once(worker, 'message')
  return [worker, here]
}

/** Sends a burst of messages with descriptors, until the worker has gone. */
function flood(channel: Channel, fd: number) {
  try {
    for (let i = 0; i < 100; i++) channel.send({ text: 'x'.repeat(100) }, { fds: [fd, fd] })
  } catch (error) {
    expect(['ECONNREFUSED', 'EPIPE']).toContain((error as NodeJS.ErrnoException).code)
  }
}

/** Ends a worker that was sent a burst, when it has told of it; `exits` ends itself. */
async function ended(worker: Worker, name: string) {
  // Its last message and its end may come in one turn, between which no promise is heard.
  if (name === 'exits') return void (await once(worker, 'exit'))
  if (name !== 'idle') await once(worker, 'message')
  await worker.terminate()
}

/** The descriptors that are there once all that ends on its own has ended. */
async function settled(): Promise<string[]> {
  await loopTurns(3)
  return fdTargets().sort()
}

describe.each(TRANSPORTS)('a worker thread with descriptors over %s', (_, options) => {
  /** One end is the worker's; the other, and descriptors that it was sent. */
  async function sentTo(name: string) {
    const [a, b] = pairWithOptions(options, options)
    const worker = new Worker(FILE, { workerData: { name, fd: b.detach(), options } })
    await once(worker, 'message')
    const watched = canary()
    flood(a, watched.fd)
    watched.close()
    return [worker, a, watched.gone] as const
  }

  it.each(['reads', 'keeps', 'busy', 'awaits', 'idle', 'queues', 'exits'])(
    'ends with some undelivered or queued, which are nowhere then: it %s',
    async name => {
      const before = await settled()
      const [worker, a, gone] = await sentTo(name)
      a.on('error', () => {})
      await ended(worker, name)
      a.destroy()
      await gone
      expect(await settled()).toEqual(before)
    },
  )
})

describe('a worker thread', () => {
  it('has its own channels, which talk to those of the main thread', async () => {
    const [worker, channel] = await start('echo')
    await withFd(async fd => {
      const { value, fds } = await channel.request({ hello: 1 }, { fds: [fd] })
      expect([value, fds.length, fds.kind(0)]).toEqual([{ hello: 1 }, 1, 'chardev'])
      fds.close()
    }, '/dev/full')
    await worker.terminate()
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('that ends by itself closes what it had open', async () => {
    const before = await settled()
    const [worker, channel] = await start('ends')
    await once(worker, 'exit')
    channel.destroy()
    expect(await settled()).toEqual(before)
  })

  it.each(['reads', 'keeps', 'busy', 'awaits', 'idle', 'queues', 'exits'])(
    'that is terminated in mid-burst leaves nothing open: it %s',
    async name => {
      const before = await settled()
      const [worker, channel] = await start(name)
      await withFd(async fd => {
        flood(channel, fd)
        await ended(worker, name)
      })
      channel.destroy()
      expect(await settled()).toEqual(before)
    },
    60_000,
  )

  it('fifty of them, one after the other and in tens, leave nothing open', async () => {
    const before = await settled()
    const one = async (name: string) => {
      const [worker, channel] = await start(name)
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
    expect(await settled()).toEqual(before)
  }, 120_000)

  it('does not harm the channels of others when it is terminated', async () => {
    const [a, b] = channelPair()
    const [worker] = await start('idle')
    a.send(1)
    await worker.terminate()
    a.send(2)
    expect(await receiveValues(b, 2)).toEqual([1, 2])
  })

  it('can be given the descriptor of a detached channel, and give it back', async () => {
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
