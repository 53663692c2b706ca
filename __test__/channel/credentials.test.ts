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

const TELLING = { ...JSONCOMM, credentials: true } as const
const SO_PASSCRED = 16
const EPERM = 1

type Pair = [Channel<Buffer>, Channel<Buffer>]

const { pid, getuid, getgid } = process
const OURS = { pid, uid: getuid?.(), gid: getgid?.() }

/** A channel that is told who sends, and its name in hex. */
async function told(): Promise<[Channel, string]> {
  const channel = await boundChannel({ credentials: true })
  return [channel, Buffer.from(channel.localAddress as string).toString('hex')]
}

/** Another process that sends datagrams, and who it is. */
async function sender(command = 'python3', args: string[] = []): Promise<[Peer, Credentials]> {
  const peer = new Peer(command, [...args, '-B', testPath('support/peers/senders.py')])
  return [peer, await peer.receive()]
}

/** The next message: its value, and who sent it. */
async function next(channel: Channel) {
  const message = await channel.receive()
  message?.fds.close()
  return [message?.value, message?.credentials]
}

/** Whether an option of level SOL_SOCKET is set. */
function isSet(fd: number, option: number): boolean {
  const code = `import socket; print(socket.socket(fileno=3).getsockopt(1, ${option}))`
  const printed = execFileSync('python3', ['-c', code], {
    stdio: ['ignore', 'pipe', 'inherit', fd],
  })
  return String(printed).trim() === '1'
}

describe('with the option a datagram tells which process has sent it', () => {
  it('as a property of what receive, an iteration and a request give', async () => {
    const [a, b] = channelPair({ credentials: true })
    a.sendAll([1, 2])
    a.send(3)
    expect(await next(b)).toEqual([1, OURS])
    for await (const { value, credentials } of b) {
      expect(credentials).toEqual(OURS)
      if (value === 3) break
    }
    b.on('message', value => b.send(value))
    expect(await a.request('?')).toMatchObject({ value: '?', credentials: OURS })
  })

  it('as the fourth argument of a listener, be it alone or not, fresh or kept', async () => {
    const [a, b] = channelPair({ credentials: true })
    const seen: unknown[][] = []
    const listener = (...args: unknown[]) => void seen.push(args)
    a.sendAll([0, 1, 2])
    // What is read behind the first is kept.
    expect(await next(b)).toEqual([0, OURS])
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

  it('with any encoding, large or small, with descriptors or without', async () => {
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

  it('beside its name, whoever else sends, and whether that has a name', async () => {
    const [channel, to] = await told()
    const [[one, first], [other, second]] = await Promise.all([sender(), sender()])
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

  it('who it was when it sent, though it has ended since', async () => {
    const [channel, to] = await told()
    const [peer, who] = await sender()
    await peer.request({ op: 'send', value: 'last', to })
    peer.send({ op: 'end' })
    expect(await peer.exited).toBe(0)
    expect(await next(channel)).toEqual(['last', who])
  })

  it('of a socket that several processes have, which of them', async () => {
    const [channel, to] = await told()
    const [peer, parent] = await sender()
    await peer.request({ op: 'send', value: 'parent', to })
    const { pid: child } = await peer.request({ op: 'fork', value: 'child', to })
    expect(child).not.toBe(parent.pid)
    expect(await next(channel)).toEqual(['parent', parent])
    expect(await next(channel)).toEqual(['child', { ...parent, pid: child }])
  })

  it('without a chance for an unprivileged one to be somebody else', async () => {
    const [channel, to] = await told()
    const [peer, { uid }] = await sender()
    const nobody = uid === 0 ? 65534 : uid
    const refused = [{ pid: process.pid }, { pid: 1 }, { uid: nobody + 1 }]
    // Where nobody is root, being root is a claim too.
    for (const claim of [...refused, { uid: 0 }]) {
      const { result } = await peer.request({ op: 'claim', value: 'forged', to, ...claim })
      expect(result, JSON.stringify(claim)).toBe(EPERM)
    }
    const truth = await peer.request({ op: 'claim', value: 'true', to })
    expect(truth.result).toBe(0)
    // What was refused never came.
    const [value, credentials] = await next(channel)
    expect([value, credentials]).toMatchObject(['true', { pid: truth.pid, uid: nobody }])
  })

  // That takes the right to make name spaces.
  const UNSHARE = ['--fork', '--kill-child', '--pid', '--mount-proc']
  const possible = spawnSync('unshare', [...UNSHARE, 'true']).status === 0
  it.runIf(possible)('but 0 for a process that has no pid in our name space', async () => {
    const server = [...UNSHARE, process.execPath, testPath('support/children/server.mjs'), '{}']
    const inside = new Peer('unshare', server)
    const path = join(temporaryDirectory(), 'inside')
    await inside.request({ call: 'bind', path, options: { credentials: true } })
    const [peer, { uid, gid }] = await sender()
    const to = Buffer.from(path).toString('hex')
    for (const fds of [0, 2]) {
      await peer.request({ op: 'send', value: 'from outside', to, fds })
      const credentials = { pid: 0, uid, gid }
      expect(await inside.request({ call: 'receive' })).toMatchObject({ fds, credentials })
    }
  })

  it.runIf(possible)('and of a name space below ours, the pid that it has here', async () => {
    const [channel, to] = await told()
    const [peer, { pid: inner }] = await sender('unshare', [...UNSHARE, 'python3'])
    expect(inner).toBe(1)
    await peer.request({ op: 'send', value: 'from below', to })
    const [, credentials] = await next(channel)
    expect(readFileSync(`/proc/${(credentials as Credentials).pid}/cmdline`, 'utf8')).toMatch(
      /senders\.py/,
    )
  })

  it('but nobody where it was sent before the option was there', async () => {
    const [a, b] = channelPair()
    a.send('before')
    const again = track(adopt(b.detach(), TELLING))
    a.send('after')
    const [value, credentials] = await next(again)
    expect([value, credentials]).toMatchObject(['before', { pid: 0 }])
    expect((credentials as Credentials).uid).not.toBe(0)
    expect(await next(again)).toEqual(['after', OURS])
  })

  it('without losing one of a flood', async () => {
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

describe('without the option', () => {
  it('there is no property and no argument, even on a socket that was asked by others', async () => {
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

describe('the socket', () => {
  it('is asked as long as the channel has it, and left as it was found', async () => {
    const [a] = channelPair()
    const fd = a.detach()
    expect(isSet(fd, SO_PASSCRED)).toBe(false)
    const telling = track(adopt(fd, TELLING))
    expect(isSet(telling.fd, SO_PASSCRED)).toBe(true)
    const found = track(adopt(telling.detach(), JSONCOMM))
    expect(isSet(found.fd, SO_PASSCRED)).toBe(false)
  })

  it('without a name of its own gets an abstract one when it sends', async () => {
    const [channel] = await told()
    const to = channel.localAddress as string
    const client = track(await connect(to, { ...TELLING, localAddress: null }))
    expect(client.localAddress).toBe(null)
    client.send('hello')
    const message = await channel.receive()
    expect(client.localAddress).toMatch(/^\0/)
    expect(message?.from).toBe(client.localAddress)
    channel.send('you have a name', { to: message?.from as string })
    expect(await next(client)).toEqual(['you have a name', OURS])
  })

  it('that is connected and named hears who answers', async () => {
    const [channel] = await told()
    const client = track(await connect(channel.localAddress as string, TELLING))
    const name = client.localAddress as string
    client.send(1)
    expect(await next(channel)).toEqual([1, OURS])
    channel.send(2, { to: name })
    expect(await next(client)).toEqual([2, OURS])
    const chosen = track(await bind('', TELLING))
    channel.send(3, { to: chosen.localAddress as string })
    expect(await next(chosen)).toEqual([3, OURS])
  })
})
