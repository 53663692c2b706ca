/**
 * What goes wrong with descriptors under way: none stays open, in no process, over any type of socket.
 *
 * A canary says so: it hears when nobody has its descriptor any more, neither a process nor the kernel.
 * See also bad-input.test.ts and stream-descriptors.test.ts, workers.test.ts, and in Rust
 * crates/channel/tests/descriptors.rs and too_many_descriptors_in_flight.rs.
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
import { cleanUpAfterEach, countOpenFds } from '../support/processes.js'
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

/** A user who has nothing else in flight; root is exempt from that limit. */
const USER = 64_997

/** A message in the frames of a transport, for an end that sends any bytes. */
function framed(type: string, text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  if (type !== 'stream') return bytes
  const head = Buffer.alloc(4)
  head.writeUInt32BE(bytes.length)
  return Buffer.concat([head, bytes])
}

describe.each(TRANSPORTS)('over %s', (type, options) => {
  const inRaw = (more = {}) => pairWithOptions(rawOptions(options), { ...options, ...more })

  it('what RLIMIT_NOFILE of the receiver leaves no room for is refused, and is nowhere', async () => {
    const { channel, peer } = channelToPeer(options, nodePeerStarter(options, { limit: 64 }))
    await peer.request({ call: 'adopt', fd: 3 })
    expect(await peer.request({ call: 'collect' })).toBe('ready')
    const before = countFdsOf(peer.child.pid)
    const watched = [3, 100, 253, 3, 60].map(count => ({ count, ...canary() }))
    const ours = countOpenFds()
    for (const { count, fd } of watched) channel.send(count, { fds: Array(count).fill(fd) })
    channel.send('end')
    const { received: got } = await peer.receive()
    const lost = 'ERR_FDWIRE_FDS_TRUNCATED'
    expect(got).toEqual([[3, 3], lost, lost, [3, 3], lost, ['end', 0]])
    expect([countFdsOf(peer.child.pid), countOpenFds()]).toEqual([before, ours])
    for (const { close } of watched) close()
    await Promise.all(watched.map(({ released }) => released))
  })

  it('ETOOMANYREFS: a message received and a retry works', async () => {
    const user: { uid?: number } = process.getuid?.() === 0 ? { uid: USER } : {}
    const setup = { limit: 64, setup: user }
    const { channel, peer } = channelToPeer(options, nodePeerStarter(options, setup))
    await peer.request({ call: 'adopt', fd: 3 })
    const before = countFdsOf(peer.child.pid)
    // More than 64 in flight are refused; a user who is not root may have others under way.
    let sent = 0
    let refused: Awaited<ReturnType<typeof peer.request>>
    for (;;) {
      refused = await peer.request({ call: 'sendFds', value: sent, count: 20 })
      if (refused.error !== undefined || refused.queued > 0) break
      sent++
    }
    expect(sent).toBeLessThan(5)
    if (type === 'stream') {
      // There it waits, since it has its place in the stream.
      expect(refused).toMatchObject({ queued: 1, queuedFds: 20 })
    } else {
      expect(refused.error).toMatchObject({ code: 'ETOOMANYREFS' })
      const more = await peer.request({ call: 'stats' })
      expect(more).toMatchObject({ queued: 0, queuedFds: 0, closed: false })
      expect(countFdsOf(peer.child.pid)).toBe(before)
    }
    const take = async () => {
      const message = await channel.receive()
      const got = [message?.value, message?.fds.length]
      message?.fds.close()
      return got
    }
    if (sent > 0) expect(await take()).toEqual([0, 20])
    for (let done = type === 'stream'; !done; ) {
      const retried = await peer.request({ call: 'sendFds', value: sent, count: 20 })
      done = retried.error === undefined
      if (user.uid !== undefined) expect(retried).toMatchObject({ kernel: true, queued: 0 })
    }
    for (let i = Math.min(sent, 1); i <= sent; i++) expect(await take()).toEqual([i, 20])
    expect(await peer.request({ call: 'flush' })).toMatchObject({ queued: 0, queuedFds: 0 })
    expect(countFdsOf(peer.child.pid)).toBe(before)
  })

  it('EMFILE where a message has to wait: it is refused at the call, and nothing of it stays', async () => {
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

  it('a peer that is killed before it has received takes them along', async () => {
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
    // A datagram socket has no end: the next message tells.
    if (type === 'dgram') expect(() => channel.send('x')).toThrow(errorWithCode('ECONNREFUSED'))
    else await whenClosed(listened(channel))
    channel.destroy()
    await waitUntil(() => countOpenFds() <= before)
  })

  it('a peer that is killed while it has them takes them along', async () => {
    const { channel, peer } = channelToPeer(options, pythonPeerStarter(type))
    const watched = canary()
    channel.send(1, { fds: [watched.fd] })
    watched.close()
    expect(await peer.request({ op: 'recv', keep: true })).toMatchObject({ fds: 1 })
    await peer.stop('SIGKILL')
    await watched.released
    channel.destroy()
  })

  it('what was queued for a peer that is killed is closed', async () => {
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
    ['malformed', '{"a":', {}, 'NOT_JSON'],
    ['too large', '"too large"', { maxMessage: 10 }, 'MESSAGE_TOO_LARGE'],
    ['more than allowed', '1', { maxFds: 2 }, 'TOO_MANY_FDS'],
    ['where none are allowed', '1', { maxFds: 0 }, 'TOO_MANY_FDS'],
  ])('of a message that is refused, %s, they are closed', async (_, text, more, code) => {
    const [bad, good] = inRaw(more)
    const told: unknown[] = []
    for (const event of ['malformed', 'error'] as const) {
      good.on(event as 'malformed', error => told.push(error.code))
    }
    const before = countOpenFds()
    const watched = canary()
    bad.send(framed(type, text), { fds: Array(3).fill(watched.fd) })
    bad.send(framed(type, '"next"'))
    watched.close()
    const next = await good.receive().catch(() => null)
    await watched.released
    // A length that can't be believed is the end of a stream.
    const fatal = type === 'stream' && code === 'MESSAGE_TOO_LARGE'
    expect([next?.value, told]).toEqual([fatal ? undefined : 'next', [`ERR_FDWIRE_${code}`]])
    if (!fatal) expect(good.stats).toMatchObject({ malformed: 1, received: 1, openFds: 0 })
    good.destroy()
    bad.destroy()
    await waitUntil(() => countOpenFds() <= before)
  })

  it.each(['queued', 'unread', 'read ahead'])('a channel is destroyed with some %s', async what => {
    const [a, b] = pairWithOptions(options, options)
    const watched = canary()
    if (what === 'queued') while (a.send('x'.repeat(60_000)));
    for (let i = 0; i < 4; i++) a.send(i, { fds: [watched.fd] })
    if (what === 'read ahead') {
      await a.flush()
      const first = await b.receive()
      first?.fds.close()
      expect(b.stats.unread).toBeGreaterThan(0)
    }
    watched.close()
    ;(what === 'queued' ? a : b).destroy()
    if (what !== 'queued') a.destroy()
    await watched.released
  })

  it('the very socket that they go over arrives too, and is that socket', async () => {
    const [a, b] = pairWithOptions(options, options)
    a.send('myself', { fds: [a.fd] })
    b.send('myself', { fds: [b.fd] })
    const atB = (await b.receive())?.fds as FdSet
    const atA = (await a.receive())?.fds as FdSet
    const same = (one: number, other: number) => fstatSync(one).ino === fstatSync(other).ino
    expect([same(atB.get(0), a.fd), same(atA.get(0), b.fd)]).toEqual([true, true])
    const again = track(adopt(atB.take(0), options) as Channel)
    a.destroy()
    again.send('as before')
    expect((await b.receive())?.value).toBe('as before')
    atA.close()
  })

  it.each([1, 2, 5])('a cycle of %i that nobody can reach any more is collected', async length => {
    const before = countOpenFds()
    const watched = canary()
    const pairs = Array.from({ length }, () => pairWithOptions(options, options))
    // Each one's receiver lies in the queue of the next.
    pairs.forEach(([a], i) => {
      const next = pairs[(i + 1) % length]?.[1] as Channel
      a.send('kept alive by itself', { fds: [next.fd, watched.fd] })
    })
    await Promise.all(pairs.map(([a]) => a.flush()))
    watched.close()
    for (const [a, b] of pairs) for (const one of [a, b]) one.destroy()
    // The kernel looks for cycles when a socket is closed, but not where it is looking just then.
    let gone = false
    watched.released.then(() => {
      gone = true
    })
    while (!gone) {
      for (const one of pair({ protocol: 'raw' })) one.destroy()
      await loopTurns(1)
    }
    await waitUntil(() => countOpenFds() <= before)
  })

  it('descriptors that were allowed go on arriving after all of that', async () => {
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

/** Has it want messages, so that it hears of the end. */
function listened(channel: Channel): Channel {
  channel.on('message', (_, fds) => fds.close())
  return channel
}
