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

const receiver = (setup: object) =>
  new Peer(process.execPath, [
    testPath('support/children/receiver.mjs'),
    JSON.stringify({ ...setup, total: TOTAL }),
  ])

/** A file of its own, without a name. */
function freshFile(contents: string): number {
  const path = `/dev/shm/fdwire-${process.pid}`
  const fd = openSync(path, 'wx+')
  unlinkSync(path)
  writeSync(fd, contents)
  return fd
}

/** What the sending costs at its highest. */
class Costs {
  readonly #fds = countOpenFds()
  fds = 0
  queuedBytes = 0

  look(channel: Channel): void {
    this.fds = Math.max(this.fds, countOpenFds() - this.#fds)
    this.queuedBytes = Math.max(this.queuedBytes, channel.stats.queuedBytes)
  }
}

/** Not once(): when two destinations drain in the same turn it sees the first only. */
function drained(channel: Channel, destination: string | undefined): Promise<void> {
  return new Promise(resolve => {
    channel.on('drain', function listen(to) {
      if (to !== destination) return
      channel.off('drain', listen)
      resolve()
    })
  })
}

/** Sends all by the README's loop, waiting for this destination's own 'drain'. */
async function sendAll(channel: Channel, to: string | undefined, costs: Costs): Promise<void> {
  for (let n = 0; n < TOTAL; n++) {
    const fd = freshFile(`file ${n}`)
    const taken = channel.send({ n }, { fds: [fd], to })
    closeSync(fd)
    if (n % 100 === 0 || !taken) costs.look(channel)
    if (!taken) await drained(channel, to)
  }
}

/** Stops a process, and waits until it is. */
async function stop(peer: Peer): Promise<void> {
  peer.child.kill('SIGSTOP')
  const state = () => /\) (.)/.exec(readFileSync(`/proc/${peer.child.pid}/stat`, 'utf8'))?.[1]
  while (state() !== 'T') await new Promise(setImmediate)
}

async function checked(peer: Peer): Promise<void> {
  expect(await peer.receive()).toEqual({ received: TOTAL, wrong: null })
}

async function nothingMore(peer: Peer): Promise<void> {
  expect(await peer.request({})).toEqual({ received: TOTAL })
}

/** Whether a promise stays open while the loop turns some times. */
async function staysOpen(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.finally(() => {
    settled = true
  })
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
  return !settled
}

/** A few messages, one waiter for the queue, the file that is just being sent, and the listing. */
const FEW = 6

describe('a receiver that is stopped for a while', () => {
  it('costs a connected sender a small constant, and loses nothing', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const peer = receiver({ path })
    await peer.receive()
    const channel = await connect(path, JSONCOMM)
    await stop(peer)
    const costs = new Costs()
    const memory = process.memoryUsage().rss
    const sending = sendAll(channel, undefined, costs)
    expect(await staysOpen(sending)).toBe(true)
    expect(channel.stats.queued).toBe(1)
    peer.child.kill('SIGCONT')
    await Promise.all([sending, checked(peer)])
    expect(costs.fds).toBeLessThanOrEqual(FEW)
    expect(costs.queuedBytes).toBeLessThan(65_536)
    expect(process.memoryUsage().rss - memory).toBeLessThan(100 * 1024 * 1024)
    await nothingMore(peer)
    await channel.close()
  })

  it('costs others nothing, where the sender is not connected', async () => {
    const [stopped, served] = [
      join(temporaryDirectory(), 'stopped'),
      join(temporaryDirectory(), 'served'),
    ]
    const peers = [receiver({ path: stopped }), receiver({ path: served })] as const
    for (const peer of peers) await peer.receive()
    const channel = await bind('', JSONCOMM)
    await stop(peers[0])
    const costs = new Costs()
    const sending = sendAll(channel, stopped, costs)
    // The second gets all of its messages while the first gets none.
    await Promise.all([sendAllBut(sending, channel, served, costs), checked(peers[1])])
    peers[0].child.kill('SIGCONT')
    await Promise.all([sending, checked(peers[0])])
    expect(costs.fds).toBeLessThanOrEqual(2 * FEW)
    for (const peer of peers) await nothingMore(peer)
    await channel.close()
  })

  it('costs others nothing, where all are connected to the sender', async () => {
    const path = join(temporaryDirectory(), 'server')
    const server = await bind(path, JSONCOMM)
    const client = async () => {
      const peer = receiver({ server: path })
      const [hello] = await Promise.all([server.receive(), peer.receive()])
      return { peer, name: hello?.from as string }
    }
    const [stopped, served] = [await client(), await client()]
    await stop(stopped.peer)
    const costs = new Costs()
    const sending = sendAll(server, stopped.name, costs)
    await Promise.all([sendAllBut(sending, server, served.name, costs), checked(served.peer)])
    stopped.peer.child.kill('SIGCONT')
    await Promise.all([sending, checked(stopped.peer)])
    expect(costs.fds).toBeLessThanOrEqual(2 * FEW)
    for (const { peer } of [stopped, served]) await nothingMore(peer)
    await server.close()
  })
})

/** Sends all to a destination, while the sending to another stays where it is. */
async function sendAllBut(
  other: Promise<unknown>,
  channel: Channel,
  to: string,
  costs: Costs,
): Promise<void> {
  expect(await staysOpen(other)).toBe(true)
  await sendAll(channel, to, costs)
  expect(await staysOpen(other)).toBe(true)
}
