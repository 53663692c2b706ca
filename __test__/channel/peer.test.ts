import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Duplex } from 'node:stream'
import { Worker } from 'node:worker_threads'
import {
  adopt,
  type Channel,
  connect,
  FdSet,
  type Listener,
  over,
  type Peer as PeerOf,
  pair,
} from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  destroyChannelsAfterEach,
  isOpen,
  JSONCOMM,
  track,
} from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { cleanUpAfterEach, Peer, testPath } from '../support/processes.js'
import {
  acceptNext,
  LINES,
  runCleanupsAfterEach,
  startListener,
  tcpPair,
  waitUntil,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const { pid, getuid, getgid } = process
const OURS = { pid, uid: getuid?.(), gid: getgid?.() }

/** The kernel has pidfds of peers since Linux 6.5; before, there is none, and nothing else changes. */
const [major, minor] = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number)
const HAS_PIDFDS = (major as number) * 100 + (minor as number) >= 605

/** The process that a pidfd is of; -1 once that has been reaped. */
function pidOf(pidfd: number | undefined): number {
  const info = readFileSync(`/proc/self/fdinfo/${pidfd}`, 'utf8')
  return Number(/^Pid:\s*(-?\d+)$/m.exec(info)?.[1])
}

/** A process that connects to a listener, and stays. */
async function client(listener: Listener<Channel>): Promise<Peer> {
  const code = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(b"\\0" + sys.argv[1].encode())
print(1, flush=True)
sys.stdin.read()`
  const peer = new Peer('python3', ['-c', code, (listener.address as string).slice(1)])
  expect(await peer.receive()).toBe(1)
  return peer
}

/** Such a process, and the channel with it, which stays open when that ends. */
async function child(): Promise<[Peer, Channel]> {
  const listener = await startListener('', { ...LINES, allowHalfOpen: true })
  return Promise.all([client(listener), acceptNext(listener)])
}

describe('peer', () => {
  it.each(['dgram', 'seqpacket', 'stream'] as const)('is who made a %s pair', type => {
    const [a, b] = pair({ protocol: 'raw', type }).map(track) as [Channel, Channel]
    expect([a.peer, b.peer]).toEqual([OURS, OURS])
    a.destroy()
    expect(a.peer).toBe(undefined)
  })

  it('is undefined where nobody knows: of datagrams by name, and over a Duplex', async () => {
    const server = await boundChannel()
    const connected = track(await connect(server.localAddress as string, JSONCOMM))
    const duplex = track(over(new Duplex({ read() {}, write() {} }), LINES))
    expect([server.peer, connected.peer, duplex.peer]).toEqual([undefined, undefined, undefined])
  })

  it('can be asked for anything that some peer has', async () => {
    const [near, far] = await tcpPair(LINES)
    const [a] = channelPair()
    const asked = ({ uid, port, pidfd }: PeerOf) => [uid, port === undefined, pidfd === undefined]
    expect(asked(far.peer as PeerOf)).toEqual([undefined, false, true])
    expect(asked(a.peer as PeerOf)).toEqual([OURS.uid, true, !HAS_PIDFDS])
    near.destroy()
  })
})

describe.runIf(HAS_PIDFDS)('peer.pidfd', () => {
  it('is opened at the first look, once, and is of the peer', () => {
    const [a] = channelPair()
    const before = fdTargets().length
    expect(a.peer).toEqual(OURS)
    expect(fdTargets().length).toBe(before)
    const pidfd = a.peer?.pidfd
    expect(pidOf(pidfd)).toBe(pid)
    expect(a.peer?.pidfd).toBe(pidfd)
    expect(fdTargets().length).toBe(before + 1)
  })

  it.each(['close', 'destroy', 'detach'] as const)(
    'is closed when the channel goes by %s',
    async how => {
      const [, b] = channelPair()
      const { peer } = b
      const pidfd = peer?.pidfd as number
      expect(isOpen(pidfd)).toBe(true)
      const result = b[how]()
      if (how === 'close') await result
      expect([isOpen(pidfd), peer?.pidfd]).toEqual([false, undefined])
      if (how === 'detach') adopt(result as number, JSONCOMM).destroy()
    },
  )

  it('is not shown, copied or compared, so nobody opens it by chance', () => {
    const [a] = channelPair()
    const before = fdTargets().length
    expect(Object.keys({ ...a.peer })).toEqual(['pid', 'uid', 'gid'])
    expect(JSON.parse(JSON.stringify(a.peer))).toEqual(OURS)
    expect(fdTargets().length).toBe(before)
  })

  it('may be sent on, and is what it was there', async () => {
    const [a, b] = channelPair()
    a.send(1, { fds: [a.peer?.pidfd as number] })
    a.destroy()
    const message = await b.receive()
    expect([message?.fds.kind(0), pidOf(message?.fds.get(0))]).toEqual(['pidfd', pid])
    message?.fds.close()
  })

  it('is the channel’s: nobody else can own it', () => {
    const [a] = channelPair()
    const pidfd = a.peer?.pidfd as number
    expect(() => FdSet.from([pidfd])).toThrow()
    expect(() => adopt(pidfd, JSONCOMM)).toThrow(/belongs to a channel/)
    expect(pidOf(a.peer?.pidfd)).toBe(pid)
  })

  it('is of the process that has connected, and of nobody once that has been reaped', async () => {
    const [peer, channel] = await child()
    const { pidfd } = channel.peer as PeerOf
    expect(channel.peer?.pid).toBe(peer.child.pid)
    expect(pidOf(pidfd)).toBe(peer.child.pid)
    await peer.stop()
    await waitUntil(() => pidOf(pidfd) === -1)
    // Whatever process has that pid next: this is none of it.
    expect(channel.peer?.pid).toBe(peer.child.pid)
  })

  it('that is first looked at when the process has been reaped is of nobody or none', async () => {
    const [peer, channel] = await child()
    await peer.stop()
    const { pidfd } = channel.peer as PeerOf
    if (pidfd !== undefined) expect(pidOf(pidfd)).toBe(-1)
  })

  it('lets allowPeer decide, and stays open only with who is let in', async () => {
    for (const answer of [true, false]) {
      let seen: number | undefined
      const allowPeer = ({ pid: claimed, pidfd }: PeerOf) => {
        seen = pidfd
        return pidOf(pidfd) === claimed && answer
      }
      const listener = await startListener('', { ...LINES, allowPeer })
      const told: unknown[] = []
      listener.on('drop', () => told.push('drop'))
      listener.on('connection', channel => told.push(track(channel)))
      const peer = await client(listener)
      await waitUntil(() => told.length > 0)
      if (answer) {
        const [channel] = told as [Channel]
        expect([channel.peer?.pidfd, isOpen(seen as number)]).toEqual([seen, true])
        channel.destroy()
      } else expect(told).toEqual(['drop'])
      expect(isOpen(seen as number)).toBe(false)
      await peer.stop()
    }
  })

  it('of a terminated worker thread is closed', async () => {
    const [, there] = channelPair()
    const worker = new Worker(testPath('support/children/worker.mjs'), {
      workerData: { name: 'looks', fd: there.detach() },
    })
    await once(worker, 'message')
    const [pidfd] = await once(worker, 'message')
    expect(pidOf(pidfd)).toBe(pid)
    await worker.terminate()
    await waitUntil(() => !isOpen(pidfd))
  })
})
