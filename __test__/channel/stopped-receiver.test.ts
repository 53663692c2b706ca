import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { bind, type Channel, connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  countOpenFds,
  Peer,
  temporaryDirectory,
  testPath,
} from '../support/processes.js'

cleanUpAfterEach()

const TOTAL = 10_000
const JSONCOMM = { protocol: 'jsoncomm' } as const

const startReceiver = (setup: object) =>
  new Peer(process.execPath, [
    testPath('support/children/receiver.mjs'),
    JSON.stringify({ ...setup, total: TOTAL }),
  ])

/** Creates an unlinked file and returns its descriptor. */
function createFile(contents: string): number {
  const path = `/dev/shm/fdwire-${process.pid}`
  const fd = openSync(path, 'wx+')
  unlinkSync(path)
  writeSync(fd, contents)
  return fd
}

/** The peak number of descriptors and queued bytes while sending. */
class PeakUsage {
  readonly #fds = countOpenFds()
  fds = 0
  queuedBytes = 0

  sample(channel: Channel): void {
    this.fds = Math.max(this.fds, countOpenFds() - this.#fds)
    this.queuedBytes = Math.max(this.queuedBytes, channel.stats.queuedBytes)
  }
}

/** Resolves at the 'drain' of a destination; `once()` misses the second drain of one turn. */
function drained(channel: Channel, destination: string | undefined): Promise<void> {
  return new Promise(resolve => {
    channel.on('drain', function listen(to) {
      if (to !== destination) return
      channel.off('drain', listen)
      resolve()
    })
  })
}

/** Sends all messages, waiting for 'drain' of the destination after each that is queued. */
async function sendAll(channel: Channel, to: string | undefined, usage: PeakUsage): Promise<void> {
  for (let n = 0; n < TOTAL; n++) {
    const fd = createFile(`file ${n}`)
    const taken = channel.send({ n }, { fds: [fd], to })
    closeSync(fd)
    if (n % 100 === 0 || !taken) usage.sample(channel)
    if (!taken) await drained(channel, to)
  }
}

/** Sends SIGSTOP and waits until the process is stopped. */
async function suspend(peer: Peer): Promise<void> {
  peer.child.kill('SIGSTOP')
  const state = () => /\) (.)/.exec(readFileSync(`/proc/${peer.child.pid}/stat`, 'utf8'))?.[1]
  while (state() !== 'T') await new Promise(setImmediate)
}

async function expectAllReceived(peer: Peer): Promise<void> {
  expect(await peer.receive()).toEqual({ received: TOTAL, wrong: null })
}

async function expectNoMore(peer: Peer): Promise<void> {
  expect(await peer.request({})).toEqual({ received: TOTAL })
}

/** Returns whether a promise stays pending for 50 turns of the loop. */
async function staysPending(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.finally(() => {
    settled = true
  })
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
  return !settled
}

/**
 * Descriptors that a sender may need: those of some queued messages, the socket that waits for the
 * receiver, the current file and `/proc/self/fd`.
 */
const FEW_FDS = 6

describe('a suspended receiver', () => {
  it('costs a connected sender a bounded number of bytes and descriptors, and loses no message', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const peer = startReceiver({ path })
    await peer.receive()
    const channel = await connect(path, JSONCOMM)
    await suspend(peer)
    const usage = new PeakUsage()
    const memory = process.memoryUsage().rss
    const sending = sendAll(channel, undefined, usage)
    expect(await staysPending(sending)).toBe(true)
    expect(channel.stats.queued).toBe(1)
    peer.child.kill('SIGCONT')
    await Promise.all([sending, expectAllReceived(peer)])
    expect(usage.fds).toBeLessThanOrEqual(FEW_FDS)
    expect(usage.queuedBytes).toBeLessThan(65_536)
    expect(process.memoryUsage().rss - memory).toBeLessThan(100 * 1024 * 1024)
    await expectNoMore(peer)
    await channel.close()
  })

  it('does not delay other receivers of an unconnected sender', async () => {
    const [stopped, served] = [
      join(temporaryDirectory(), 'suspended'),
      join(temporaryDirectory(), 'served'),
    ]
    const peers = [startReceiver({ path: stopped }), startReceiver({ path: served })] as const
    for (const peer of peers) await peer.receive()
    const channel = await bind(null, JSONCOMM)
    await suspend(peers[0])
    const usage = new PeakUsage()
    const sending = sendAll(channel, stopped, usage)
    // The second receiver gets all its messages while the first one gets none.
    await Promise.all([
      sendAllWhilePending(sending, channel, served, usage),
      expectAllReceived(peers[1]),
    ])
    peers[0].child.kill('SIGCONT')
    await Promise.all([sending, expectAllReceived(peers[0])])
    expect(usage.fds).toBeLessThanOrEqual(2 * FEW_FDS)
    for (const peer of peers) await expectNoMore(peer)
    await channel.close()
  })

  it('does not delay other receivers that are connected to the sender', async () => {
    const path = join(temporaryDirectory(), 'server')
    const server = await bind(path, JSONCOMM)
    const client = async () => {
      const peer = startReceiver({ server: path })
      const [hello] = await Promise.all([server.receive(), peer.receive()])
      return { peer, name: hello?.from as string }
    }
    const [stopped, served] = [await client(), await client()]
    await suspend(stopped.peer)
    const usage = new PeakUsage()
    const sending = sendAll(server, stopped.name, usage)
    await Promise.all([
      sendAllWhilePending(sending, server, served.name, usage),
      expectAllReceived(served.peer),
    ])
    stopped.peer.child.kill('SIGCONT')
    await Promise.all([sending, expectAllReceived(stopped.peer)])
    expect(usage.fds).toBeLessThanOrEqual(2 * FEW_FDS)
    for (const { peer } of [stopped, served]) await expectNoMore(peer)
    await server.close()
  })
})

/** Sends all messages to a destination while `other`, the sending to another one, is pending. */
async function sendAllWhilePending(
  other: Promise<unknown>,
  channel: Channel,
  to: string,
  usage: PeakUsage,
): Promise<void> {
  expect(await staysPending(other)).toBe(true)
  await sendAll(channel, to, usage)
  expect(await staysPending(other)).toBe(true)
}
