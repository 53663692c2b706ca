/**
 * Faults while descriptors are in flight: no process may keep one open, over any type of socket.
 *
 * The tests send a canary, which detects that its last descriptor is closed in every process and in
 * the kernel. Related tests: channel/malformed.test.ts, stream/descriptors.test.ts,
 * threads/workers.test.ts, and in Rust crates/channel/tests/descriptors.rs and
 * descriptors_in_flight_limit.rs.
 */
import { once } from 'node:events'
import { fstatSync } from 'node:fs'
import { adopt, type Channel, type FdSet, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
  withFd,
} from '../support/channels.js'
import { cleanUpAfterEach, countOpenFds, waitForOpenFds } from '../support/processes.js'
import {
  canary,
  channelToPeer,
  countFdsOf,
  nodePeerStarter,
  pairWithOptions,
  pythonPeerStarter,
  rawOptions,
  TRANSPORTS,
} from '../support/rights.js'
import { waitUntil, whenClosed } from '../support/streams.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

/** A user id with nothing else in flight. Root is exempt from the kernel's limit. */
const USER = 64_997

/** Encodes a text in the framing of a transport, for a raw channel. */
function encodeFrame(type: string, text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  if (type !== 'stream') return bytes
  const head = Buffer.alloc(4)
  head.writeUInt32BE(bytes.length)
  return Buffer.concat([head, bytes])
}

describe.each(TRANSPORTS)('descriptors in flight over %s', (type, options) => {
  const rawPair = (more = {}) => pairWithOptions(rawOptions(options), { ...options, ...more })

  it('are closed when the receiver has reached RLIMIT_NOFILE, and its message is malformed', async () => {
    const { channel, peer } = channelToPeer(options, nodePeerStarter(options, { limit: 64 }))
    await peer.request({ call: 'adopt', fd: 3 })
    expect(await peer.request({ call: 'collect' })).toBe('ready')
    const before = countFdsOf(peer.child.pid)
    const watched = [3, 100, 253, 3, 60].map(count => ({ count, ...canary() }))
    const openHere = countOpenFds()
    for (const { count, fd } of watched) channel.send(count, { fds: Array(count).fill(fd) })
    channel.send('end')
    const { received } = await peer.receive()
    const truncated = 'ERR_FDWIRE_FDS_TRUNCATED'
    expect(received).toEqual([[3, 3], truncated, truncated, [3, 3], truncated, ['end', 0]])
    // A thread closes the descriptors of the messages that were delivered.
    await waitUntil(() => countFdsOf(peer.child.pid) === before)
    await waitForOpenFds(openHere)
    for (const { close } of watched) close()
    await Promise.all(watched.map(({ released }) => released))
  })

  it('are refused or queued on ETOOMANYREFS, and are sent after the peer has received some', async () => {
    const user: { uid?: number } = process.getuid?.() === 0 ? { uid: USER } : {}
    const { channel, peer } = channelToPeer(
      options,
      nodePeerStarter(options, { limit: 64, ...user }),
    )
    await peer.request({ call: 'adopt', fd: 3 })
    const before = countFdsOf(peer.child.pid)
    // The kernel refuses more than 64 in flight. A user other than root may have some in flight
    // already.
    let sent = 0
    let refused: Awaited<ReturnType<typeof peer.request>>
    for (;;) {
      refused = await peer.request({ call: 'sendFds', value: sent, count: 20 })
      if (refused.error !== undefined || refused.queued > 0) break
      sent++
    }
    expect(sent).toBeLessThan(5)
    if (type === 'stream') {
      // A stream keeps its order, so the message is queued.
      expect(refused).toMatchObject({ queued: 1, queuedFds: 20 })
    } else {
      expect(refused.error).toMatchObject({ code: 'ETOOMANYREFS' })
      const more = await peer.request({ call: 'stats' })
      expect(more).toMatchObject({ queued: 0, queuedFds: 0, closed: false })
      expect(countFdsOf(peer.child.pid)).toBe(before)
    }
    const receive = async () => {
      const message = await channel.receive()
      const received = [message?.value, message?.fds.length]
      message?.fds.close()
      return received
    }
    if (sent > 0) expect(await receive()).toEqual([0, 20])
    for (let done = type === 'stream'; !done; ) {
      const retried = await peer.request({ call: 'sendFds', value: sent, count: 20 })
      done = retried.error === undefined
      if (user.uid !== undefined) expect(retried).toMatchObject({ kernel: true, queued: 0 })
    }
    for (let i = Math.min(sent, 1); i <= sent; i++) expect(await receive()).toEqual([i, 20])
    expect(await peer.request({ call: 'flush' })).toMatchObject({ queued: 0, queuedFds: 0 })
    expect(countFdsOf(peer.child.pid)).toBe(before)
  })

  it('are not duplicated when send fails with EMFILE because the message would be queued', async () => {
    const { channel, peer } = channelToPeer(options, nodePeerStarter(options, { limit: 64 }))
    await peer.request({ call: 'adopt', fd: 3 })
    const value = 'x'.repeat(60_000)
    let last = await peer.request({ call: 'send', value })
    let sent = 1
    for (; last.kernel; sent++) last = await peer.request({ call: 'send', value })
    await peer.request({ call: 'exhaust', left: 8 })
    const before = countFdsOf(peer.child.pid)
    const { queued } = await peer.request({ call: 'stats' })
    const refused = await peer.request({ call: 'sendFds', value: 'refused', count: 20 })
    expect(refused.error).toMatchObject({ code: 'EMFILE' })
    expect(await peer.request({ call: 'stats' })).toMatchObject({
      queued,
      queuedFds: 0,
      closed: false,
    })
    expect(countFdsOf(peer.child.pid)).toBe(before)
    await peer.request({ call: 'sendFds', value: 'with four', count: 4 })
    expect(countFdsOf(peer.child.pid)).toBe(before + 4)
    await peer.request({ call: 'release' })
    for (; sent > 0; sent--) expect((await channel.receive())?.value === value).toBe(true)
    const message = await channel.receive()
    expect([message?.value, message?.fds.length]).toEqual(['with four', 4])
    message?.fds.close()
  })

  it('are closed when the peer is killed before it receives them', async () => {
    const { channel, peer } = channelToPeer(options, pythonPeerStarter(type))
    channel.on('error', () => {})
    await peer.request({ op: 'open' })
    const before = countOpenFds()
    const watched = canary()
    for (let i = 0; i < 5; i++) channel.send(i, { fds: [watched.fd, watched.fd] })
    await channel.flush()
    watched.close()
    await peer.stop('SIGKILL')
    await watched.released
    // A datagram socket has no end of stream: the next send fails.
    if (type === 'dgram') expect(() => channel.send('x')).toThrow(errorWithCode('ECONNREFUSED'))
    else await whenClosed(readAll(channel))
    channel.destroy()
    await waitUntil(() => countOpenFds() <= before)
  })

  it('are closed when the peer is killed after it has received them', async () => {
    const { channel, peer } = channelToPeer(options, pythonPeerStarter(type))
    const watched = canary()
    channel.send(1, { fds: [watched.fd] })
    watched.close()
    expect(await peer.request({ op: 'recv', keep: true })).toMatchObject({ fds: 1 })
    await peer.stop('SIGKILL')
    await watched.released
    channel.destroy()
  })

  it('are closed in the send queue when the peer is killed', async () => {
    const { channel, peer } = channelToPeer(options, pythonPeerStarter(type))
    await peer.request({ op: 'open' })
    const failed = once(channel, type === 'stream' ? 'error' : 'undelivered')
    const before = countOpenFds()
    const watched = canary()
    while (channel.send('x'.repeat(60_000)));
    for (let i = 0; i < 5; i++) channel.send(i, { fds: [watched.fd, watched.fd] })
    expect(channel.stats.queuedFds).toBe(10)
    watched.close()
    await peer.stop('SIGKILL')
    await Promise.all([failed, watched.released])
    channel.destroy()
    await waitUntil(() => countOpenFds() <= before)
  })

  it.each([
    ['has invalid JSON', '{"a":', {}, 'NOT_JSON'],
    ['is longer than maxMessage', '"too large"', { maxMessage: 10 }, 'MESSAGE_TOO_LARGE'],
    ['has more descriptors than maxFds', '1', { maxFds: 2 }, 'TOO_MANY_FDS'],
    ['has descriptors despite maxFds: 0', '1', { maxFds: 0 }, 'TOO_MANY_FDS'],
  ])('are closed if their message %s', async (_, text, more, code) => {
    const [raw, channel] = rawPair(more)
    const codes: unknown[] = []
    for (const event of ['malformed', 'error'] as const) {
      channel.on(event as 'malformed', error => codes.push(error.code))
    }
    // A channel that fails with unread input resets its connection.
    raw.on('error', error => expect(error).toMatchObject({ code: 'ECONNRESET' }))
    const before = countOpenFds()
    const watched = canary()
    raw.send(encodeFrame(type, text), { fds: Array(3).fill(watched.fd) })
    raw.send(encodeFrame(type, '"next"'))
    watched.close()
    const next = await channel.receive().catch(() => null)
    await watched.released
    // A frame longer than maxMessage is fatal to a stream.
    const fatal = type === 'stream' && code === 'MESSAGE_TOO_LARGE'
    expect([next?.value, codes]).toEqual([fatal ? undefined : 'next', [`ERR_FDWIRE_${code}`]])
    if (!fatal) expect(channel.stats).toMatchObject({ malformed: 1, received: 1, openFds: 0 })
    channel.destroy()
    raw.destroy()
    await waitUntil(() => countOpenFds() <= before)
  })

  it.each(['queued', 'unread', 'read ahead'])('are closed by destroy() while %s', async state => {
    const [a, b] = pairWithOptions(options, options)
    const watched = canary()
    if (state === 'queued') while (a.send('x'.repeat(60_000)));
    for (let i = 0; i < 4; i++) a.send(i, { fds: [watched.fd] })
    if (state === 'read ahead') {
      await a.flush()
      const first = await b.receive()
      first?.fds.close()
      expect(b.stats.unread).toBeGreaterThan(0)
    }
    watched.close()
    ;(state === 'queued' ? a : b).destroy()
    if (state !== 'queued') a.destroy()
    await watched.released
  })

  it('can include the socket that carries them', async () => {
    const [a, b] = pairWithOptions(options, options)
    a.send('own socket', { fds: [a.fd] })
    b.send('own socket', { fds: [b.fd] })
    const atB = (await b.receive())?.fds as FdSet
    const atA = (await a.receive())?.fds as FdSet
    const isSame = (one: number, other: number) => fstatSync(one).ino === fstatSync(other).ino
    expect([isSame(atB.get(0), a.fd), isSame(atA.get(0), b.fd)]).toEqual([true, true])
    const duplicate = track(adopt(atB.take(0), options) as Channel)
    a.destroy()
    duplicate.send('still connected')
    expect((await b.receive())?.value).toBe('still connected')
    atA.close()
  })

  it.each([1, 2, 5])(
    'are collected when they form an unreachable cycle of length %i',
    async length => {
      const before = countOpenFds()
      const watched = canary()
      const pairs = Array.from({ length }, () => pairWithOptions(options, options))
      // Each receiving socket is in flight in the queue of the next pair.
      pairs.forEach(([a], i) => {
        const next = pairs[(i + 1) % length]?.[1] as Channel
        a.send('cycle', { fds: [next.fd, watched.fd] })
      })
      await Promise.all(pairs.map(([a]) => a.flush()))
      watched.close()
      for (const [a, b] of pairs) for (const one of [a, b]) one.destroy()
      // The kernel collects cycles when a socket closes, but a collection in progress may miss this
      // one.
      let released = false
      watched.released.then(() => {
        released = true
      })
      while (!released) {
        for (const one of pair({ protocol: 'raw' })) one.destroy()
        await loopTurns(1)
      }
      await waitUntil(() => countOpenFds() <= before)
    },
  )

  it('arrive in sets of 0 to 29, and none stays open', async () => {
    const [a, b] = pairWithOptions(options, options)
    await withFd(async fd => {
      for (let i = 0; i < 30; i++) {
        a.send(i, { fds: Array(i).fill(fd) })
        const message = await b.receive()
        expect([message?.value, message?.fds.length]).toEqual([i, i])
        message?.fds.close()
      }
    })
    expect(b.stats).toMatchObject({ malformed: 0, openFds: 0, receivedFds: (29 * 30) / 2 })
  })
})

/** Makes a channel read, so that it detects the end. */
function readAll(channel: Channel): Channel {
  channel.on('message', (_, fds) => fds.close())
  return channel
}
