/** What goes wrong with descriptors under way: they are counted in both processes. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { adopt, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { beside, Peer, tidy } from './children/talk.js'
import { cleanUp, keep, opened, withFd } from './helpers/channels.js'
import { cleanUpStreams, until } from './helpers/streams.js'

tidy()
cleanUp()
cleanUpStreams()

/** What is sent; nobody else has it open. */
const FILE = '/dev/full'
const MOST = { maxFds: 253, maxOpenFds: 10_000 }
const TYPES = [
  ['dgram', { protocol: 'jsoncomm', type: 'dgram', ...MOST }],
  ['seqpacket', { protocol: 'jsoncomm', type: 'seqpacket', ...MOST }],
  ['stream', { protocol: 'length_prefixed', encoding: 'json', ...MOST }],
] as const

/** How often a process has the file open. */
function openedIn(pid: number | undefined): number {
  const folder = `/proc/${pid}/fd`
  const links = readdirSync(folder).map(fd => {
    try {
      return readlinkSync(`${folder}/${fd}`)
    } catch {
      return ''
    }
  })
  return links.filter(link => link === FILE).length
}

/** The inodes of the sockets of channels. */
const inodesOf = (channels: Channel[]) =>
  channels.map(({ fd }) => readlinkSync(`/proc/self/fd/${fd}`).replace(/\D/g, ''))

/** Whether the kernel still has one of these sockets, in whatever queue it is. */
function areSockets(inodes: string[]): boolean {
  const known = new Set(readFileSync('/proc/net/unix', 'utf8').match(/\d+/g))
  return inodes.some(inode => known.has(inode))
}

describe.each(TYPES)('over %s', (type, options) => {
  /** A channel, and a process that has its other end. */
  function twoProcesses(wrap: string[] = []): [Channel, Peer] {
    const [ours, theirs] = pair(options as never) as [Channel, Channel]
    const node = [process.execPath, beside('children/holder.mjs'), JSON.stringify(options)]
    const [command = '', ...args] = [...wrap, ...node]
    const peer = new Peer(command, args, { stdio: ['pipe', 'pipe', 'pipe', theirs.fd] })
    theirs.destroy()
    // Its death is one, where it leaves something unread.
    ours.on('error', () => {})
    return [keep(ours), peer]
  }

  const send = (channel: Channel, value: unknown, count: number) =>
    withFd(fd => channel.send(value, { fds: Array(count).fill(fd) }), FILE)

  it('descriptors that a killed receiver has not read are gone with it', async () => {
    const [channel, peer] = twoProcesses()
    await send(channel, 'read', 3)
    expect(await peer.ask({ op: 'receive' })).toEqual({ value: 'read', count: 3 })
    expect(openedIn(peer.child.pid)).toBe(3)
    for (let i = 0; i < 5; i++) await send(channel, i, 4)
    await peer.stop('SIGKILL')
    channel.destroy()
    expect(opened(FILE)).toBe(0)
  })

  it('what a killed sender has sent arrives whole', async () => {
    const [channel, peer] = twoProcesses()
    for (let i = 0; i < 3; i++) await peer.ask({ op: 'send', value: i, path: FILE, count: 5 })
    await peer.stop('SIGKILL')
    for (let i = 0; i < 3; i++) {
      const message = await channel.receive()
      expect([message?.value, message?.fds.length]).toEqual([i, 5])
      message?.fds.close()
    }
    expect(opened(FILE)).toBe(0)
  })

  it('a receiver without room for them gets none of the message, and the next one arrives', async () => {
    const [channel, peer] = twoProcesses(['prlimit', '--nofile=128:128'])
    await peer.ask({ op: 'exhaust' })
    await send(channel, 'too many', 100)
    expect(await peer.ask({ op: 'hear', count: 1 })).toEqual({
      told: [['malformed', 'ERR_FDWIRE_FDS_TRUNCATED']],
    })
    expect(openedIn(peer.child.pid)).toBe(0)
    await send(channel, 'two', 2)
    expect(await peer.ask({ op: 'receive' })).toEqual({ value: 'two', count: 2 })
    await peer.ask({ op: 'release' })
    expect([openedIn(peer.child.pid), opened(FILE)]).toEqual([0, 0])
  })

  it('254 of them are an error at the call, and nothing is sent', async () => {
    const [channel, peer] = twoProcesses()
    await expect(send(channel, 'too many', 254)).rejects.toMatchObject({
      code: 'ERR_FDWIRE_TOO_MANY_FDS',
      fault: 'caller',
    })
    await send(channel, 'as many as there can be', 253)
    expect(await peer.ask({ op: 'receive' })).toMatchObject({ count: 253 })
    await peer.ask({ op: 'release' })
    expect([openedIn(peer.child.pid), opened(FILE)]).toEqual([0, 0])
  })

  it('those of a channel that is destroyed with a queue are closed', async () => {
    const [channel, peer] = twoProcesses()
    await withFd(fd => {
      while (channel.stats.queuedFds < 100) channel.send('wait', { fds: [fd, fd] })
    }, FILE)
    expect(opened(FILE)).toBe(channel.stats.queuedFds)
    channel.destroy()
    expect(opened(FILE)).toBe(0)
    expect(await peer.ask({ op: 'receive' })).toEqual({ value: 'wait', count: 2 })
    await peer.ask({ op: 'release' })
    // It has read ahead.
    await peer.ask({ op: 'destroy' })
    expect(openedIn(peer.child.pid)).toBe(0)
  })

  it('a message that is malformed, too large or has too many leaves none open', async () => {
    const raw = { protocol: 'raw', type, maxFds: 253 } as const
    const [a, b] = pair(raw)
    const sender = keep(a)
    const told: string[] = []
    const limits = { maxMessage: 100, maxFds: 2 }
    const receiver = keep(adopt(b.detach(), { ...options, ...limits } as never) as Channel)
    receiver.on('malformed', error => told.push((error as NodeJS.ErrnoException).code as string))
    const kinds: [Buffer, number, string][] = [
      [Buffer.from('{nonsense'), 2, 'ERR_FDWIRE_NOT_JSON'],
      [Buffer.from([0x22, 0xff, 0x22]), 2, 'ERR_FDWIRE_NOT_UTF8'],
      [Buffer.from('"three"'), 3, 'ERR_FDWIRE_TOO_MANY_FDS'],
    ]
    // Of a stream that would be the end.
    if (type !== 'stream') kinds.push([Buffer.alloc(101), 2, 'ERR_FDWIRE_MESSAGE_TOO_LARGE'])
    await withFd(fd => {
      for (const [bytes, count] of kinds) {
        sender.send(withHead(type, bytes), { fds: Array(count).fill(fd) })
      }
      sender.send(withHead(type, Buffer.from('"good"')), { fds: [fd] })
    }, FILE)
    const message = await receiver.receive()
    expect([message?.value, message?.fds.length]).toEqual(['good', 1])
    expect(opened(FILE)).toBe(1)
    message?.fds.close()
    expect(told).toEqual(kinds.map(([, , code]) => code))
    expect([opened(FILE), receiver.stats.malformed]).toEqual([0, kinds.length])
  })

  /** Waits until the kernel has none of these sockets: it looks for them when others are closed. */
  const gone = (inodes: string[]) =>
    until(() => {
      for (const channel of pair(options as never)) channel.destroy()
      return !areSockets(inodes)
    })

  it('a socket goes over itself, and is closed with the last who has it', async () => {
    const [a, b] = pair(options as never) as [Channel, Channel]
    const inodes = inodesOf([a, b])
    a.send('you', { fds: [a.fd, b.fd] })
    const message = await b.receive()
    expect(message?.fds.length).toBe(2)
    message?.fds.close()
    // And where nobody reads it, it lies in its own queue.
    for (let i = 0; i < 3; i++) a.send('you', { fds: [a.fd, b.fd] })
    await a.flush()
    a.destroy()
    b.destroy()
    await gone(inodes)
  })

  it('a cycle of sockets in flight is nobody’s, and ends', async () => {
    const pairs = Array.from({ length: 3 }, () => pair(options as never) as [Channel, Channel])
    const inodes = inodesOf(pairs.flat())
    expect(areSockets(inodes)).toBe(true)
    for (const [i, [a]] of pairs.entries()) {
      const [c, d] = pairs[(i + 1) % pairs.length] as [Channel, Channel]
      a.send('both ends of the next', { fds: [c.fd, d.fd] })
      await a.flush()
    }
    for (const channel of pairs.flat()) channel.destroy()
    await gone(inodes)
  })
})

/** The bytes as a message of the type's protocol. */
function withHead(type: string, bytes: Buffer): Buffer {
  if (type !== 'stream') return bytes
  const head = Buffer.alloc(4)
  head.writeUInt32BE(bytes.length)
  return Buffer.concat([head, bytes])
}
