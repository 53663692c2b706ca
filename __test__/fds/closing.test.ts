import { once } from 'node:events'
import { openSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { adopt, FdSet, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import { cleanUpAfterEach, countOpenFds, Peer, testPath } from '../support/processes.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

/** The longest time that a call may take (ms). The sockets of the peer linger for an hour. */
const AT_ONCE = 1_000

const FRAMED = { protocol: 'length_prefixed', encoding: 'json' } as const
const TRANSPORTS = [
  ['dgram', { protocol: 'jsoncomm' }, '{}'],
  ['seqpacket', { protocol: 'jsoncomm', type: 'seqpacket' }, '{}'],
  ['stream', { ...FRAMED, maxFds: 253 }, '\0\0\0\x02{}'],
] as const

/** Starts a peer that sends `message` with `count` lingering sockets to the channel. */
async function receiveFrom(options: object, message: string, count: number) {
  const [ours, theirs] = pair(options as never)
  const stdio = ['pipe', 'pipe', 'pipe', theirs.fd] as const
  const script = testPath('support/peers/lingering.py')
  const args = ['-B', script, Buffer.from(message).toString('hex'), `${count}`]
  const peer = new Peer('python3', args, { stdio: [...stdio] })
  theirs.destroy()
  expect(await peer.receive()).toBe(true)
  return { channel: track(ours), peer }
}

/** Returns how long a call takes (ms). */
function timeOf(call: () => unknown): number {
  const start = performance.now()
  call()
  return performance.now() - start
}

describe.each(TRANSPORTS)('lingering sockets over %s', (_type, options, message) => {
  const start = (more: object, count = 1) => receiveFrom({ ...options, ...more }, message, count)

  it('are closed by fds.close() without waiting', async () => {
    const { channel, peer } = await start({}, 100)
    const received = await channel.receive()
    expect(received?.fds.length).toBe(100)
    expect(timeOf(() => received?.fds.close())).toBeLessThan(AT_ONCE)
    expect(await peer.request({})).toBe(true)
  })

  it.each([0, 1])(
    'are closed without waiting if their message is refused (maxFds: %d)',
    async maxFds => {
      const { channel, peer } = await start({ maxFds }, 100)
      const malformed = once(channel, 'malformed')
      let longest = 0
      let last = performance.now()
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last)
        last = performance.now()
      }, 1)
      const end = channel.receive().catch(() => {})
      expect(await malformed).toEqual([errorWithCode('TOO_MANY_FDS'), undefined])
      expect(await peer.request({})).toBe(true)
      clearInterval(timer)
      expect(longest).toBeLessThan(AT_ONCE)
      channel.destroy()
      await end
    },
  )

  it('are closed without waiting if the channel is destroyed with the message unread', async () => {
    const { channel, peer } = await start({})
    expect(timeOf(() => channel.destroy())).toBeLessThan(AT_ONCE)
    expect(await peer.request({})).toBe(true)
  })

  it('do not keep a worker thread from ending', async () => {
    const { channel, peer } = await start({})
    const fd = channel.detach()
    const worker = new Worker(
      `import('fdwire').then(({ adopt }) => {
        const { fd, options } = require('node:worker_threads').workerData
        globalThis.channel = adopt(fd, options)
        channel.receive().then(message => {
          globalThis.message = message
          require('node:worker_threads').parentPort.postMessage(message.fds.length)
        })
      })`,
      { eval: true, workerData: { fd, options } },
    )
    expect(await once(worker, 'message')).toEqual([1])
    const ending = performance.now()
    await worker.terminate()
    expect(performance.now() - ending).toBeLessThan(10 * AT_ONCE)
    expect(await peer.request({})).toBe(true)
  })
})

describe('FdSet.close', () => {
  it('has closed files in memory, local files and /dev/null when it returns', () => {
    const before = countOpenFds()
    const fds = [testPath('fds/closing.test.ts'), '/dev/null', '/dev/zero'].map(path =>
      openSync(path, 'r'),
    )
    FdSet.from(fds).close()
    expect(countOpenFds()).toBe(before)
  })

  it('closes what may wait in a thread, soon', async () => {
    const [a, b] = pair({ protocol: 'raw', type: 'stream' })
    const fds = [openSync('/dev/ptmx', 'r+'), openSync('/proc/self/status', 'r'), a.detach()]
    FdSet.from(fds).close()
    const read = track(adopt(b.detach(), { protocol: 'raw' })).receive()
    expect(await read).toBeNull()
  })
})
