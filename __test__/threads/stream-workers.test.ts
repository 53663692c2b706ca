import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns } from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import {
  acceptNext,
  LINES,
  receiveAll,
  receiveUpTo,
  runCleanupsAfterEach,
  startListener,
  streamPair,
  tcpPair,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const FILE = new URL('../support/children/worker-streams.mjs', import.meta.url)

/** What is open once all that ends on its own has ended. */
async function settled(): Promise<string[]> {
  await loopTurns(3)
  return fdTargets().sort()
}

describe('a worker thread that is terminated', () => {
  it.each(['queues', 'listens', 'waits', 'busy'])('leaves nothing open: it %s', async name => {
    const before = await settled()
    for (const connected of [async () => streamPair(LINES), () => tcpPair(LINES)]) {
      const [a, b] = await connected()
      a.on('error', () => {})
      const path = join(temporaryDirectory(), 's')
      const worker = new Worker(FILE, { workerData: { name, fd: b.detach(), path } })
      a.send('hello')
      await once(worker, 'message')
      await worker.terminate()
      // The other end hears of it; the path goes with its listener.
      expect(existsSync(path)).toBe(false)
      a.on('message', () => {})
      await whenClosed(a)
    }
    expect(await settled()).toEqual(before)
  })

  it('twenty at once, while they talk', async () => {
    const before = await settled()
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const [a, b] = streamPair(LINES)
        const worker = new Worker(FILE, { workerData: { name: 'echoes', fd: b.detach() } })
        a.on('error', () => {})
        let echoes = 0
        a.on('message', () => {
          echoes++
          a.send('more')
        })
        for (let i = 0; i < 50; i++) a.send(`${i}`)
        await waitUntil(() => echoes > 200)
        await worker.terminate()
        await whenClosed(a)
      }),
    )
    expect(await settled()).toEqual(before)
  }, 60_000)
})

describe('what is unsent at the end', () => {
  it('of a process is tried once', async () => {
    for (const where of ['', { host: '127.0.0.1', port: 0 }]) {
      const listener = await startListener(where, { protocol: 'length_prefixed', encoding: 'text' })
      const peer = new Peer(process.execPath, [
        testPath('support/children/streams.mjs'),
        'exit-with-queue',
        JSON.stringify(listener.address),
      ])
      const channel = await acceptNext(listener)
      expect(await receiveAll(channel)).toEqual(['first unsent', 'second unsent'])
      expect(await peer.exited).toBe(0)
    }
  })

  it('of a worker thread that exits is tried once', async () => {
    const [a, b] = streamPair(LINES)
    const worker = new Worker(FILE, { workerData: { name: 'exits', fd: b.detach() } })
    const exited = once(worker, 'exit')
    expect(await receiveUpTo(a, 1)).toEqual(['last'])
    await exited
  })

  it('close resolves when all is sent, and process.exit after that loses nothing', async () => {
    const peer = new Peer(process.execPath, [
      testPath('support/children/streams.mjs'),
      'close-then-exit',
    ])
    expect(await peer.receive()).toBe('closed')
    expect(await peer.exited).toBe(0)
  })
})
