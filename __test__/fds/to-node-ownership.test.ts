/**
 * Ownership of a descriptor that an FdSet passes to a Node object: it moves once, and only on
 * success.
 */
import dgram from 'node:dgram'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import net from 'node:net'
import { type Channel, type FdSet, type FdSource, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  isOpen,
  loopTurns,
  track,
} from '../support/channels.js'
import { afterTest, runCleanupsAfterEach, waitUntil } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

type Call = 'toSocket' | 'toServer' | 'toDatagram' | 'toReadStream' | 'toWriteStream'
type Owner = net.Socket | net.Server | dgram.Socket

/** Creates a socket or file of the kind that each method accepts. It is closed after the test. */
const SOURCES: Record<Call, () => Promise<FdSource>> = {
  toSocket: async () => stream(),
  toReadStream: async () => stream(),
  toWriteStream: async () => file(),
  async toServer() {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    afterTest(() => server.close())
    return server
  },
  async toDatagram() {
    const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    afterTest(() => socket.close())
    return socket
  },
}

/** Options that each method rejects. */
const INVALID_OPTIONS: Record<Call, object> = {
  toSocket: { signal: {} },
  toServer: { backlog: -1 },
  toDatagram: { lookup: 1 },
  toReadStream: { encoding: 'klingon' },
  toWriteStream: { start: -1 },
}

function stream(): number {
  const [a, b] = pair({ protocol: 'raw' })
  track(b)
  return track(a).fd
}

function file(): number {
  const fd = openSync('/dev/null', 'w')
  afterTest(() => closeSync(fd))
  return fd
}

/** Receives three descriptors for `call` in a message, and the channel that counts them. */
async function receivedFor(call: Call): Promise<{ fds: FdSet; channel: Channel }> {
  const [a, b] = pair({ protocol: 'jsoncomm' })
  track(a)
  const source = await SOURCES[call]()
  a.send(1, { fds: [source, source, source] })
  const message = await track(b).receive()
  expect(b.stats.openFds).toBe(3)
  return { fds: message?.fds as FdSet, channel: b as Channel }
}

/** Options for a valid call. /dev/null needs `trust`, because it is not a regular file. */
const options = (call: Call) => (call === 'toWriteStream' ? { trust: true } : {})

async function closeAndWait(owner: Owner) {
  const ended = once(owner, 'close')
  if ('destroy' in owner) owner.destroy()
  else owner.close()
  await ended
}

const CALLS = Object.keys(SOURCES) as Call[]

describe.each(CALLS)('FdSet.%s', call => {
  it('removes the descriptor from the set, whose close() then closes only the others', async () => {
    const { fds, channel } = await receivedFor(call)
    const number = fds.get(1)
    const owner = fds[call](1, options(call) as never) as Owner
    expect(channel.stats.openFds).toBe(2)
    for (const again of [() => fds.get(1), () => fds.take(1), () => fds.kind(1)]) {
      expect(again).toThrow(errorWithCode('FD_GONE'))
    }
    expect(() => fds[call](1, options(call) as never)).toThrow(errorWithCode('FD_GONE'))
    expect([fds.length, [...fds].length]).toEqual([3, 2])
    fds.close()
    expect([isOpen(number), channel.stats.openFds]).toEqual([true, 0])
    await closeAndWait(owner)
    expect(isOpen(number)).toBe(false)
  })

  it('does not close the number again once Node has closed it and it is reused', async () => {
    const { fds } = await receivedFor(call)
    const number = fds.get(0)
    const owner = fds[call](0, options(call) as never) as Owner
    await closeAndWait(owner)
    const others: number[] = []
    while (!others.includes(number)) others.push(openSync('/dev/null', 'r'))
    fds.close()
    await loopTurns(2)
    expect(others.every(isOpen)).toBe(true)
    for (const fd of others) closeSync(fd)
  })

  it('leaves the descriptor in the set each time it throws', async () => {
    const { fds, channel } = await receivedFor(call)
    const number = fds.get(0)
    for (let i = 0; i < 3; i++) {
      expect(() => fds[call](0, { ...options(call), ...INVALID_OPTIONS[call] } as never)).toThrow()
    }
    const others = (['toServer', 'toDatagram'] as const).filter(other => other !== call)
    for (const other of others) expect(() => fds[other](0)).toThrow(errorWithCode('FD_KIND'))
    expect([isOpen(number), channel.stats.openFds, fds.get(0)]).toEqual([true, 3, number])
    fds.close()
    expect(channel.stats.openFds).toBe(0)
    await waitUntil(() => !isOpen(number))
  })

  it('throws EBADF for a descriptor that was closed outside the set', async () => {
    const { fds } = await receivedFor(call)
    closeSync(fds.get(2))
    expect(() => fds[call](2, options(call) as never)).toThrow(errorWithCode('EBADF'))
    expect(() => fds.close()).toThrow(errorWithCode('EBADF'))
  })
})
