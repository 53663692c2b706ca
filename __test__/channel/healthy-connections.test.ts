/** Deadlines and connections that are slow, or seem to be: because of this process, or of buffers. */
import { once } from 'node:events'
import { closeSync, existsSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { adopt, type Channel, over, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import { FRAMES, LINES, runCleanupsAfterEach, startListener } from '../support/streams.js'

destroyChannelsAfterEach()
cleanUpAfterEach()
runCleanupsAfterEach()

const SEQPACKET = { protocol: 'raw', type: 'seqpacket' } as const

/** Waits for `time` (ms) on the clock that is tested: until a channel has been idle for so long. */
async function pass(time: number): Promise<void> {
  const [clock] = pair({ ...LINES, idleTimeout: time })
  track(clock).on('message', () => {})
  await once(clock, 'error')
}

/** Blocks the event loop until a file exists. */
function blockUntilExists(file: string): void {
  const shared = new Int32Array(new SharedArrayBuffer(4))
  while (!existsSync(file)) Atomics.wait(shared, 0, 0, 5)
}

/** More connections than one call of epoll_wait reports. */
const CLIENTS = 200

describe('idleTimeout and a blocked event loop', () => {
  it.each([
    ['streams', LINES],
    ['seqpacket sockets', { protocol: 'jsoncomm', type: 'seqpacket' }],
  ])('does not destroy %s whose input has arrived meanwhile', async (_, options) => {
    const address = join(temporaryDirectory(), 'socket')
    const file = join(temporaryDirectory(), 'sent')
    const idleTimeout = 1_000
    const listener = await startListener(address, { ...options, idleTimeout } as never)
    const results: Promise<unknown>[] = []
    const connected = new Promise<void>(resolve => {
      listener.on('connection', channel => {
        track(channel as Channel)
        results.push(channel.receive().then(message => message?.value, String))
        if (results.length === CLIENTS) resolve()
      })
    })
    // The timer of the comparisons fires in the pause, before the lines are sent.
    const argument = { address, options, clients: CLIENTS, pause: 1.5 * idleTimeout, file }
    const child = testPath('support/children/many-clients.mjs')
    const clients = new Peer(process.execPath, [child, JSON.stringify(argument)])
    await Promise.all([connected, clients.receive()])
    blockUntilExists(file)
    expect(await Promise.all(results)).toEqual(Array(CLIENTS).fill('a line'))
  })
})

describe('idleTimeout and a peer that reads slowly', () => {
  /** Opens a channel with a long queue. Returns it, and the descriptor of the peer. */
  function openWithQueue(options: object, message: Buffer): [Channel, number] {
    const [a, b] = pair(options as typeof SEQPACKET)
    const channel = adopt(a.detach(), { ...options, idleTimeout: 400 } as never)
    for (let queued = 0; queued < 4 * 1024 * 1024; queued += message.length)
      channel.send(message as never)
    return [track(channel), b.detach()]
  }

  it.each([
    // The kernel frees parts of a stream of about 36 KiB, and reports that there is room for more
    // once three quarters of the buffer of 208 KiB are free.
    ['a stream', FRAMES, 40 * 1024],
    ['a seqpacket socket', SEQPACKET, 4 * 1024],
  ])(
    'does not destroy %s, although the kernel accepts nothing for long',
    async (_, options, length) => {
      const [channel, fd] = openWithQueue(options, Buffer.alloc(length))
      channel.on('message', () => {})
      await pass(50)
      const { queuedBytes } = channel.stats
      const memory = Buffer.alloc(length)
      for (let reads = 0; reads < 4; reads++) {
        await pass(150)
        readSync(fd, memory)
      }
      expect([channel.closed, channel.stats.queuedBytes]).toEqual([false, queuedBytes])
      await expect(once(channel, 'error')).resolves.toEqual([errorWithCode('IDLE_TIMEOUT')])
      closeSync(fd)
    },
  )

  it('does not destroy a Duplex stream that takes long for a long message', async () => {
    const part = 64 * 1024
    let taken = 0
    const duplex = new Duplex({
      read() {},
      async write(chunk: Buffer, _, done) {
        for (let at = 0; at < chunk.length; at += part) await pass(100)
        taken += chunk.length
        done()
      },
    })
    const channel = track(over(duplex, { ...FRAMES, idleTimeout: 400 }))
    channel.on('message', () => {})
    channel.send(Buffer.alloc(8 * part))
    channel.send(Buffer.from('the end'))
    const finished = once(duplex, 'finish')
    channel.end()
    await channel.flush()
    expect(taken).toBe(4 + 8 * part + 4 + 7)
    await finished
  })
})
