import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { adopt, bind, type Channel, type Credentials, connect, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  destroyChannelsAfterEach,
  JSONCOMM,
  loopTurns,
  RAW_DGRAM,
  track,
} from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

const WITH_CREDENTIALS = { ...JSONCOMM, credentials: true } as const
const SO_PASSCRED = 16
const EPERM = 1

type Pair = [Channel<Buffer>, Channel<Buffer>]

const { pid, getuid, getgid } = process
const OURS = { pid, uid: getuid?.(), gid: getgid?.() }

/** Returns a bound channel with the option credentials, and its address in hex. */
async function credentialsReceiver(): Promise<[Channel, string]> {
  const channel = await boundChannel({ credentials: true })
  return [channel, Buffer.from(channel.localAddress as string).toString('hex')]
}

/** Starts a process that sends datagrams; returns it and its credentials. */
async function startSender(command = 'python3', args: string[] = []): Promise<[Peer, Credentials]> {
  const peer = new Peer(command, [...args, '-B', testPath('support/peers/senders.py')])
  return [peer, await peer.receive()]
}

/** Receives a message and returns its value and credentials. */
async function receiveNext(channel: Channel) {
  const message = await channel.receive()
  message?.fds.close()
  return [message?.value, message?.credentials]
}

/** Returns whether an option of level SOL_SOCKET is set. */
function isSet(fd: number, option: number): boolean {
  const code = `import socket; print(socket.socket(fileno=3).getsockopt(1, ${option}))`
  const printed = execFileSync('python3', ['-c', code], {
    stdio: ['ignore', 'pipe', 'inherit', fd],
  })
  return String(printed).trim() === '1'
}

describe('the credentials of a datagram', () => {
  it('are a property of every message that receive, request or an iteration returns', async () => {
    const [a, b] = channelPair({ credentials: true })
    a.sendAll([1, 2])
    a.send(3)
    expect(await receiveNext(b)).toEqual([1, OURS])
    for await (const { value, credentials } of b) {
      expect(credentials).toEqual(OURS)
      if (value === 3) break
    }
    b.on('message', value => b.send(value))
    expect(await a.request('?')).toMatchObject({ value: '?', credentials: OURS })
  })

  it('are the fourth argument of every listener, even if the datagram was read ahead', async () => {
    const [a, b] = channelPair({ credentials: true })
    const seen: unknown[][] = []
    const listener = (...args: unknown[]) => void seen.push(args)
    a.sendAll([0, 1, 2])
    // The other messages are read with the first, and kept.
    expect(await receiveNext(b)).toEqual([0, OURS])
    b.on('message', listener)
    await loopTurns(2)
    a.send(3)
    while (seen.length < 3) await loopTurns(1)
    b.on('message', listener)
    a.send(4)
    while (seen.length < 5) await loopTurns(1)
    expect(seen.map(([value]) => value)).toEqual([1, 2, 3, 4, 4])
    for (const args of seen) expect(args.slice(2)).toEqual([undefined, OURS])
  })

  it('arrive in the raw protocol with messages of any size, with and without descriptors', async () => {
    const [a, b] = pair({ ...RAW_DGRAM, credentials: true, maxFds: 2 }).map(track) as Pair
    for (const bytes of ['', 'x', Buffer.alloc(200_000)]) {
      a.send(bytes, { fds: [0, 0] })
      const message = await b.receive()
      expect(message?.fds.length).toBe(2)
      message?.fds.close()
      expect(message?.value.length).toBe(bytes.length)
      expect(message?.credentials).toEqual(OURS)
    }
  })

  it('are those of its own sender among several senders, with and without an address', async () => {
    const [channel, to] = await credentialsReceiver()
    const [[one, first], [other, second]] = await Promise.all([startSender(), startSender()])
    await one.request({ op: 'bind', name: '' })
    for (let i = 0; i < 3; i++) {
      await one.request({ op: 'send', value: i, to, fds: i })
      await other.request({ op: 'send', value: i, to, fds: i })
      await other.request({ op: 'send', value: i, to })
    }
    const froms = new Set<unknown>()
    for (let i = 0; i < 3; i++) {
      for (const expected of [first, second, second]) {
        const message = await channel.receive()
        expect([message?.value, message?.credentials]).toEqual([i, expected])
        expect(message?.from === null).toBe(expected === second)
        froms.add(message?.from)
        message?.fds.close()
      }
    }
    expect(froms.size).toBe(2)
  })

  it('are those of its sender even if that has exited', async () => {
    const [channel, to] = await credentialsReceiver()
    const [peer, credentials] = await startSender()
    await peer.request({ op: 'send', value: 'last', to })
    peer.send({ op: 'end' })
    expect(await peer.exited).toBe(0)
    expect(await receiveNext(channel)).toEqual(['last', credentials])
  })

  it('are those of the process that sent it if several share the socket', async () => {
    const [channel, to] = await credentialsReceiver()
    const [peer, parent] = await startSender()
    await peer.request({ op: 'send', value: 'parent', to })
    const { pid: child } = await peer.request({ op: 'fork', value: 'child', to })
    expect(child).not.toBe(parent.pid)
    expect(await receiveNext(channel)).toEqual(['parent', parent])
    expect(await receiveNext(channel)).toEqual(['child', { ...parent, pid: child }])
  })

  it('cannot be forged by an unprivileged process', async () => {
    const [channel, to] = await credentialsReceiver()
    const [peer, { uid }] = await startSender()
    const unprivileged = uid === 0 ? 65534 : uid
    const forged = [{ pid: process.pid }, { pid: 1 }, { uid: unprivileged + 1 }]
    // An unprivileged process cannot claim uid 0 either.
    for (const claim of [...forged, { uid: 0 }]) {
      const { result } = await peer.request({ op: 'claim', value: 'forged', to, ...claim })
      expect(result, JSON.stringify(claim)).toBe(EPERM)
    }
    const allowed = await peer.request({ op: 'claim', value: 'true', to })
    expect(allowed.result).toBe(0)
    // The forged messages were not delivered.
    const [value, credentials] = await receiveNext(channel)
    expect([value, credentials]).toMatchObject(['true', { pid: allowed.pid, uid: unprivileged }])
  })

  // These two tests need the privilege to create namespaces.
  const UNSHARE = ['--fork', '--kill-child', '--pid', '--mount-proc']
  const possible = spawnSync('unshare', [...UNSHARE, 'true']).status === 0
  it.runIf(possible)(
    'have pid 0 if its sender has no pid in the namespace of the receiver',
    async () => {
      const server = [...UNSHARE, process.execPath, testPath('support/children/server.mjs'), '{}']
      const inside = new Peer('unshare', server)
      const path = join(temporaryDirectory(), 'inside')
      await inside.request({ call: 'bind', path, options: { credentials: true } })
      const [peer, { uid, gid }] = await startSender()
      const to = Buffer.from(path).toString('hex')
      for (const fds of [0, 2]) {
        await peer.request({ op: 'send', value: 'from outside', to, fds })
        const credentials = { pid: 0, uid, gid }
        expect(await inside.request({ call: 'receive' })).toMatchObject({ fds, credentials })
      }
    },
  )

  it.runIf(possible)(
    "have the sender's pid in the namespace of the receiver if its sender is in a nested one",
    async () => {
      const [channel, to] = await credentialsReceiver()
      const [peer, { pid: inner }] = await startSender('unshare', [...UNSHARE, 'python3'])
      expect(inner).toBe(1)
      await peer.request({ op: 'send', value: 'from a nested namespace', to })
      const [, credentials] = await receiveNext(channel)
      expect(readFileSync(`/proc/${(credentials as Credentials).pid}/cmdline`, 'utf8')).toMatch(
        /senders\.py/,
      )
    },
  )

  it('have pid 0 and a uid other than 0 if it was sent before the option was set', async () => {
    const [a, b] = channelPair()
    a.send('before')
    const again = track(adopt(b.detach(), WITH_CREDENTIALS))
    a.send('after')
    const [value, credentials] = await receiveNext(again)
    expect([value, credentials]).toMatchObject(['before', { pid: 0 }])
    expect((credentials as Credentials).uid).not.toBe(0)
    expect(await receiveNext(again)).toEqual(['after', OURS])
  })

  it('are correct for every message of a flood, and no message is lost', async () => {
    const [a, b] = channelPair({ credentials: true })
    let seen = 0
    let wrong = 0
    b.on('message', (value, _fds, _from, credentials) => {
      if (value !== seen++ || credentials?.pid !== pid) wrong++
    })
    for (let i = 0; i < 20_000; i++) {
      if (!a.send(i)) await new Promise(resolve => a.once('drain', resolve))
    }
    while (seen < 20_000) await loopTurns(1)
    expect(wrong).toBe(0)
  })
})

describe('the credentials of a datagram without the option', () => {
  it('are absent, even on a socket that had the option before', async () => {
    const [a, b] = channelPair({ credentials: true })
    const options = [JSONCOMM, { ...JSONCOMM, credentials: false }]
    const channels = [a.detach(), b.detach()].map((fd, i) => track(adopt(fd, options[i] as never)))
    const [x, y] = channels as [Channel, Channel]
    x.send(1)
    expect('credentials' in ((await y.receive()) as object)).toBe(false)
    let count = 0
    y.on('message', (...args) => {
      count = args.length
    })
    x.send(2)
    while (count === 0) await loopTurns(1)
    expect(count).toBe(3)
  })
})

describe('a socket with the option credentials', () => {
  it('has SO_PASSCRED set until detach restores the previous value', async () => {
    const [a] = channelPair()
    const fd = a.detach()
    expect(isSet(fd, SO_PASSCRED)).toBe(false)
    const withOption = track(adopt(fd, WITH_CREDENTIALS))
    expect(isSet(withOption.fd, SO_PASSCRED)).toBe(true)
    const restored = track(adopt(withOption.detach(), JSONCOMM))
    expect(isSet(restored.fd, SO_PASSCRED)).toBe(false)
  })

  it('gets an abstract address at its first send if it has none', async () => {
    const [channel] = await credentialsReceiver()
    const to = channel.localAddress as string
    const client = track(await connect(to, { ...WITH_CREDENTIALS, localAddress: null }))
    expect(client.localAddress).toBe(null)
    client.send('hello')
    const message = await channel.receive()
    expect(client.localAddress).toMatch(/^\0/)
    expect(message?.from).toBe(client.localAddress)
    channel.send('to the abstract address', { to: message?.from as string })
    expect(await receiveNext(client)).toEqual(['to the abstract address', OURS])
  })

  it('receives credentials if it is connected and if it is bound', async () => {
    const [channel] = await credentialsReceiver()
    const client = track(await connect(channel.localAddress as string, WITH_CREDENTIALS))
    const name = client.localAddress as string
    client.send(1)
    expect(await receiveNext(channel)).toEqual([1, OURS])
    channel.send(2, { to: name })
    expect(await receiveNext(client)).toEqual([2, OURS])
    const chosen = track(await bind(null, WITH_CREDENTIALS))
    channel.send(3, { to: chosen.localAddress as string })
    expect(await receiveNext(chosen)).toEqual([3, OURS])
  })
})
