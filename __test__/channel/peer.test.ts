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

/** Linux has pidfds of peers (SO_PEERPIDFD) since 6.5; without them `pidfd` is undefined. */
const [major, minor] = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number)
const HAS_PIDFDS = (major as number) * 100 + (minor as number) >= 605

/** Returns the pid that a pidfd refers to, or -1 once that process has been reaped. */
function pidOf(pidfd: number | undefined): number {
  const info = readFileSync(`/proc/self/fdinfo/${pidfd}`, 'utf8')
  return Number(/^Pid:\s*(-?\d+)$/m.exec(info)?.[1])
}

/** Starts a process that connects to a listener and keeps the connection. */
async function startClient(listener: Listener<Channel>): Promise<Peer> {
  const code = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(b"\\0" + sys.argv[1].encode())
print(1, flush=True)
sys.stdin.read()`
  const peer = new Peer('python3', ['-c', code, (listener.address as string).slice(1)])
  expect(await peer.receive()).toBe(1)
  return peer
}

/** Starts such a process; returns it and its channel, which stays open after its end. */
async function clientAndChannel(): Promise<[Peer, Channel]> {
  const listener = await startListener(null, { ...LINES, allowHalfOpen: true })
  return Promise.all([startClient(listener), acceptNext(listener)])
}

describe('peer', () => {
  it.each(['dgram', 'seqpacket', 'stream'] as const)(
    'is this process for both halves of a %s pair',
    type => {
      const [a, b] = pair({ protocol: 'raw', type }).map(track) as [Channel, Channel]
      expect([a.peer, b.peer]).toEqual([OURS, OURS])
      a.destroy()
      expect(a.peer).toBe(undefined)
    },
  )

  it('is undefined for datagrams by address and over a Duplex', async () => {
    const server = await boundChannel()
    const connected = track(await connect(server.localAddress as string, JSONCOMM))
    const duplex = track(over(new Duplex({ read() {}, write() {} }), LINES))
    expect([server.peer, connected.peer, duplex.peer]).toEqual([undefined, undefined, undefined])
  })

  it('has undefined for the properties of other kinds of peers', async () => {
    const [near, far] = await tcpPair(LINES)
    const [a] = channelPair()
    const propertiesOf = ({ uid, port, pidfd }: PeerOf) => [
      uid,
      port === undefined,
      pidfd === undefined,
    ]
    expect(propertiesOf(far.peer as PeerOf)).toEqual([undefined, false, true])
    expect(propertiesOf(a.peer as PeerOf)).toEqual([OURS.uid, true, !HAS_PIDFDS])
    near.destroy()
  })
})

describe.runIf(HAS_PIDFDS)('peer.pidfd', () => {
  it('is opened once, at the first access, and refers to the peer', () => {
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
    'is closed by %s of the channel',
    async method => {
      const [, b] = channelPair()
      const { peer } = b
      const pidfd = peer?.pidfd as number
      expect(isOpen(pidfd)).toBe(true)
      const result = b[method]()
      if (method === 'close') await result
      expect([isOpen(pidfd), peer?.pidfd]).toEqual([false, undefined])
      if (method === 'detach') adopt(result as number, JSONCOMM).destroy()
    },
  )

  it('is not enumerable, so that copies and comparisons do not open it', () => {
    const [a] = channelPair()
    const before = fdTargets().length
    expect(Object.keys({ ...a.peer })).toEqual(['pid', 'uid', 'gid'])
    expect(JSON.parse(JSON.stringify(a.peer))).toEqual(OURS)
    expect(fdTargets().length).toBe(before)
  })

  it('can be sent, and refers to the same process at the receiver', async () => {
    const [a, b] = channelPair()
    a.send(1, { fds: [a.peer?.pidfd as number] })
    a.destroy()
    const message = await b.receive()
    expect([message?.fds.kind(0), pidOf(message?.fds.get(0))]).toEqual(['pidfd', pid])
    message?.fds.close()
  })

  it('belongs to the channel: FdSet and adopt reject it', () => {
    const [a] = channelPair()
    const pidfd = a.peer?.pidfd as number
    expect(() => FdSet.from([pidfd])).toThrow()
    expect(() => adopt(pidfd, JSONCOMM)).toThrow(/belongs to a channel/)
    expect(pidOf(a.peer?.pidfd)).toBe(pid)
  })

  it('refers to the connected process, and to none once that has been reaped', async () => {
    const [peer, channel] = await clientAndChannel()
    const { pidfd } = channel.peer as PeerOf
    expect(channel.peer?.pid).toBe(peer.child.pid)
    expect(pidOf(pidfd)).toBe(peer.child.pid)
    await peer.stop()
    await waitUntil(() => pidOf(pidfd) === -1)
    // The pidfd does not refer to a later process with the same pid.
    expect(channel.peer?.pid).toBe(peer.child.pid)
  })

  it('refers to no process if it is first accessed after that has been reaped', async () => {
    const [peer, channel] = await clientAndChannel()
    await peer.stop()
    const { pidfd } = channel.peer as PeerOf
    if (pidfd !== undefined) expect(pidOf(pidfd)).toBe(-1)
  })

  it('can be read in allowPeer, and stays open only for an accepted peer', async () => {
    for (const answer of [true, false]) {
      let seen: number | undefined
      const allowPeer = ({ pid: claimed, pidfd }: PeerOf) => {
        seen = pidfd
        return pidOf(pidfd) === claimed && answer
      }
      const listener = await startListener(null, { ...LINES, allowPeer })
      const drops: unknown[] = []
      listener.on('drop', () => drops.push('drop'))
      listener.on('connection', channel => drops.push(track(channel)))
      const peer = await startClient(listener)
      await waitUntil(() => drops.length > 0)
      if (answer) {
        const [channel] = drops as [Channel]
        expect([channel.peer?.pidfd, isOpen(seen as number)]).toEqual([seen, true])
        channel.destroy()
      } else expect(drops).toEqual(['drop'])
      expect(isOpen(seen as number)).toBe(false)
      await peer.stop()
    }
  })

  it('is closed when its worker thread is terminated', async () => {
    const [, theirs] = channelPair()
    const worker = new Worker(testPath('support/children/worker.mjs'), {
      workerData: { name: 'looks', fd: theirs.detach() },
    })
    await once(worker, 'message')
    const [pidfd] = await once(worker, 'message')
    expect(pidOf(pidfd)).toBe(pid)
    await worker.terminate()
    await waitUntil(() => !isOpen(pidfd))
  })
})
