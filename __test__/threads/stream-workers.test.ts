import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach } from '../support/channels.js'
import { settledFdTargets } from '../support/descriptors.js'
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

describe('a terminated worker thread', () => {
  it.each(['queues', 'listens', 'waits', 'busy'])(
    'leaves no descriptor and no socket file behind (case %s)',
    async name => {
      const before = await settledFdTargets()
      for (const connected of [async () => streamPair(LINES), () => tcpPair(LINES)]) {
        const [a, b] = await connected()
        a.on('error', () => {})
        const path = join(temporaryDirectory(), 's')
        const worker = new Worker(FILE, { workerData: { name, fd: b.detach(), path } })
        a.send('hello')
        await once(worker, 'message')
        await worker.terminate()
        // The listener's socket file is removed, and the peer sees the end.
        expect(existsSync(path)).toBe(false)
        a.on('message', () => {})
        await whenClosed(a)
      }
      expect(await settledFdTargets()).toEqual(before)
    },
  )

  it('leaves no descriptor behind if twenty exchange messages at once', async () => {
    const before = await settledFdTargets()
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
    expect(await settledFdTargets()).toEqual(before)
  }, 60_000)
})

describe('an unsent message', () => {
  it('gets one write attempt when the process exits', async () => {
    for (const where of [null, { host: '127.0.0.1', port: 0 }]) {
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

  it('gets one write attempt when the worker thread exits', async () => {
    const [a, b] = streamPair(LINES)
    const worker = new Worker(FILE, { workerData: { name: 'exits', fd: b.detach() } })
    const exited = once(worker, 'exit')
    expect(await receiveUpTo(a, 1)).toEqual(['last'])
    await exited
  })

  it('is sent before close resolves, so that process.exit then loses nothing', async () => {
    const peer = new Peer(process.execPath, [
      testPath('support/children/streams.mjs'),
      'close-then-exit',
    ])
    expect(await peer.receive()).toBe('closed')
    expect(await peer.exited).toBe(0)
  })
})
