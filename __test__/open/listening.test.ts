import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, connect, listen } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import {
  abstractName,
  acceptNext,
  LINES,
  patternBytes,
  receiveUpTo,
  runCleanupsAfterEach,
  startListener,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const CHILD = testPath('support/children/streams.mjs')
const TCP = { host: '127.0.0.1', port: 0 }
const child = (name: string, ...args: unknown[]) =>
  new Peer(process.execPath, [CHILD, name, ...args.map(arg => JSON.stringify(arg))])
const dial = async (to: unknown, options = {}): Promise<Channel> =>
  track((await connect(to as never, { ...LINES, ...options })) as Channel)

describe('connections are accepted only while somebody wants one', () => {
  it('none without a consumer, one for each pending next()', async () => {
    const listener = await startListener('', LINES)
    const clients = [await dial(listener.address), await dial(listener.address)]
    clients.forEach((client, i) => void client.send(`${i}`))
    await loopTurns(5)
    expect(listener.connections).toBe(0)
    const first = await acceptNext(listener)
    await loopTurns(5)
    expect(listener.connections).toBe(1)
    const second = await acceptNext(listener)
    expect([...(await receiveUpTo(first, 1)), ...(await receiveUpTo(second, 1))]).toEqual([
      '0',
      '1',
    ])
  })

  it('all for a listener of the event, and those that once() has left over for the next', async () => {
    const listener = await startListener('', LINES)
    for (let i = 0; i < 3; i++) void (await dial(listener.address)).send(`${i}`)
    const [first] = (await once(listener, 'connection')) as [Channel]
    expect(await receiveUpTo(track(first), 1)).toEqual(['0'])
    const got: Channel[] = []
    listener.on('connection', channel => void got.push(track(channel)))
    await waitUntil(() => got.length === 2)
    expect(await receiveUpTo(got[1] as Channel, 1)).toEqual(['2'])
  })

  it('an iterator beside a listener of the event is a conflict', async () => {
    const listener = await startListener('', LINES)
    const waiting = listener[Symbol.asyncIterator]().next()
    expect(() => listener.on('connection', () => {})).toThrow(errorWithCode('CONSUMER_CONFLICT'))
    void dial(listener.address)
    track((await waiting).value as Channel)
    listener.on('connection', () => {})
    const next = listener[Symbol.asyncIterator]().next()
    await expect(next).rejects.toEqual(errorWithCode('CONSUMER_CONFLICT'))
  })

  it('break closes nothing, close ends an iteration', async () => {
    const listener = await startListener('', LINES)
    void dial(listener.address)
    for await (const channel of listener) {
      track(channel)
      break
    }
    expect(listener.closed).toBe(false)
    const rest: Channel[] = []
    const iterated = (async () => {
      for await (const channel of listener) rest.push(channel)
    })()
    await listener.close()
    await iterated
    expect(rest).toEqual([])
    expect((await listener[Symbol.asyncIterator]().next()).done).toBe(true)
  })

  it('maxConnections stops, and goes on when one is closed', async () => {
    const listener = await startListener(TCP, { ...LINES, maxConnections: 2 })
    const got: Channel[] = []
    listener.on('connection', channel => void got.push(track(channel)))
    for (let i = 0; i < 5; i++) await dial(listener.address)
    await waitUntil(() => got.length === 2)
    await loopTurns(10)
    expect([got.length, listener.connections]).toEqual([2, 2])
    for (let i = 0; i < 3; i++) {
      got[i]?.destroy()
      await waitUntil(() => got.length === 3 + i)
      expect(listener.connections).toBe(2)
    }
  })

  it('a connection that nobody has seen can fail without harm', async () => {
    const peer = child('reset-before-event')
    expect(await peer.receive()).toBe(0)
    expect(await peer.exited).toBe(0)
  })
})

describe('allowPeer', () => {
  const said: [string, () => unknown, boolean][] = [
    ['true', () => true, true],
    ['false', () => false, false],
    ['nothing', () => undefined, false],
    ['1', () => 1, false],
    ['a promise of true', () => Promise.resolve(true), false],
  ]
  it.each(said)('%s', async (_, allowPeer, isIn) => {
    const listener = await startListener('', { ...LINES, allowPeer })
    const drops: unknown[] = []
    const got: Channel[] = []
    listener.on('drop', drop => drops.push(drop))
    listener.on('connection', channel => void got.push(track(channel)))
    const client = await dial(listener.address)
    if (!isIn) expect(await client.receive()).toBe(null)
    await waitUntil(() => drops.length + got.length > 0)
    expect([drops, got.length]).toEqual(isIn ? [[], 1] : [[{ reason: 'allowPeer' }], 0])
    if (!isIn) expect(listener.connections).toBe(0)
  })

  it('that throws drops with the error, and the listener goes on', async () => {
    const fatal = new Error('no')
    const peers: unknown[] = []
    const listener = await startListener('', {
      ...LINES,
      allowPeer(peer: unknown) {
        if (peers.push(peer) === 1) throw fatal
        return true
      },
    })
    const dropped = once(listener, 'drop')
    const [next] = await Promise.all([
      acceptNext(listener),
      dial(listener.address),
      dial(listener.address),
    ])
    expect(await dropped).toEqual([{ reason: 'allowPeer', error: fatal }])
    const { pid, getuid, getgid } = process
    expect(peers).toEqual([0, 1].map(() => ({ pid, uid: getuid?.(), gid: getgid?.() })))
    expect(next.peer).toEqual(peers[0])
  })

  it('a rejecting handler destroys its channel with captureRejections', async () => {
    const listener = await startListener('', { ...LINES, captureRejections: true })
    const closed = new Promise<Channel>(resolve => {
      listener.on('connection', async channel => {
        channel.on('error', () => {})
        channel.on('close', () => resolve(channel))
        throw new Error('mine')
      })
    })
    await dial(listener.address)
    expect([(await closed).closed, listener.closed]).toEqual([true, false])
  })

  it('gets the address of a TCP peer', async () => {
    let peer: unknown
    const allowPeer = (one: unknown) => {
      peer = one
      return true
    }
    const listener = await startListener(TCP, { ...LINES, allowPeer })
    const [channel, client] = await Promise.all([acceptNext(listener), dial(listener.address)])
    expect(peer).toEqual(client.localAddress)
    expect(channel.peer).toEqual(client.localAddress)
    expect(channel.remoteAddress).toEqual(client.localAddress)
    expect(client.remoteAddress).toEqual(listener.address)
  })
})

describe('a path', () => {
  it('has exactly its mode, whatever the umask is', async () => {
    for (const umask of [0o777, 0, 0o022]) {
      for (const mode of [0o600, 0o666, 0o777, 0o000]) {
        const path = join(temporaryDirectory(), 's')
        const before = process.umask(umask)
        const listener = await startListener(path, { ...LINES, mode }).finally(() => {
          process.umask(before)
        })
        expect(statSync(path).mode & 0o777).toBe(mode)
        await listener.close()
      }
    }
    const path = join(temporaryDirectory(), 's')
    await startListener(path, LINES)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is removed by close, which leaves the channels alive', async () => {
    const path = join(temporaryDirectory(), 's')
    const listener = await startListener(path, LINES)
    const [channel, client] = await Promise.all([acceptNext(listener), dial(path)])
    await listener.close()
    await listener.close()
    expect([existsSync(path), listener.closed, listener.fd]).toEqual([false, true, -1])
    client.send('still')
    expect(await receiveUpTo(channel, 1)).toEqual(['still'])
    await expect(dial(path)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(() => listener.ref()).toThrow(errorWithCode('CLOSED'))
  })

  it('that is live is EADDRINUSE, and lives on', async () => {
    const path = join(temporaryDirectory(), 's')
    const listener = await startListener(path, LINES)
    for (const unlink of ['stale', false] as const) {
      const again = listen(path, { ...LINES, unlink })
      await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE', path })
    }
    await Promise.all([acceptNext(listener), dial(path)])
  })

  it('that is stale is taken over, unless unlink is false', async () => {
    const path = join(temporaryDirectory(), 's')
    const peer = child('race', path)
    await peer.receive()
    await peer.stop()
    expect(lstatSync(path).isSocket()).toBe(true)
    const refused = listen(path, { ...LINES, unlink: false })
    await expect(refused).rejects.toMatchObject({ code: 'EADDRINUSE' })
    const listener = await startListener(path, LINES)
    await Promise.all([acceptNext(listener), dial(path)])
  })

  it('that is live is taken by unlink: always, and its first owner does not remove ours', async () => {
    const path = join(temporaryDirectory(), 's')
    const first = await startListener(path, LINES)
    const second = await startListener(path, { ...LINES, unlink: 'always' })
    await first.close()
    await Promise.all([acceptNext(second), dial(path)])
  })

  it('that is no socket is EEXIST, and stays', async () => {
    const base = temporaryDirectory()
    const [file, folder] = [join(base, 'file'), join(base, 'folder')]
    writeFileSync(file, 'x')
    mkdirSync(folder)
    for (const path of [file, folder]) {
      for (const unlink of ['stale', 'always'] as const) {
        const refused = listen(path, { ...LINES, unlink })
        await expect(refused).rejects.toMatchObject({ code: 'EEXIST' })
        expect(existsSync(path)).toBe(true)
      }
    }
    await expect(listen(join(base, 'no', 's'), LINES)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('fifty processes at once on a stale one: one wins, and can be reached', async () => {
    const path = join(temporaryDirectory(), 's')
    const stale = child('race', path)
    await stale.receive()
    await stale.stop()
    const peers = Array.from({ length: 50 }, () => child('race', path))
    const lines = await Promise.all(peers.map(peer => peer.receive()))
    const winners = lines.filter(({ won }) => won).map(({ won }) => won)
    expect(winners).toHaveLength(1)
    expect(new Set(lines.map(({ lost }) => lost))).toEqual(new Set([undefined, 'EADDRINUSE']))
    expect(await receiveUpTo(await dial(path), 1)).toEqual([`${winners[0]}`])
  }, 60_000)
})

describe('addresses', () => {
  it('are what they were asked to be, or what the kernel has chosen', async () => {
    const name = abstractName()
    const path = join(temporaryDirectory(), 's')
    expect((await startListener(name, LINES)).address).toBe(name)
    expect((await startListener(path, LINES)).address).toBe(path)
    expect((await startListener('', LINES)).address).toMatch(/^\0[0-9a-f]{5}$/)
    const { address } = await startListener(TCP, LINES)
    expect(address).toEqual({ host: '127.0.0.1', port: expect.any(Number) })
    expect((address as { port: number }).port).toBeGreaterThan(0)
    await expect(listen(name, LINES)).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await expect(listen(address as typeof TCP, LINES)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })

  it('may be shared over TCP with reusePort', async () => {
    const first = await startListener(TCP, { ...LINES, reusePort: true })
    const second = await startListener(first.address, { ...LINES, reusePort: true })
    const count = [0, 0]
    for (const [i, one] of [first, second].entries()) {
      one.on('connection', channel => {
        track(channel)
        count[i] = (count[i] as number) + 1
      })
    }
    for (let i = 0; i < 40; i++) await dial(first.address)
    await waitUntil(() => (count[0] as number) + (count[1] as number) === 40)
    expect(count.every(one => one > 0)).toBe(true)
  })

  it('connect to nobody: ECONNREFUSED, with what was asked for', async () => {
    const listener = await listen(TCP, LINES)
    const { address } = listener
    await listener.close()
    await expect(dial(address)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      syscall: 'connect',
      port: (address as typeof TCP).port,
    })
    await expect(dial('\0fdwire-nobody')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await expect(dial({ host: 'nobody.invalid', port: 1 })).rejects.toMatchObject({
      code: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
    })
  })

  it('a full backlog: connect waits, to its timeout or until there is room', async () => {
    const listener = await startListener('', { ...LINES, backlog: 1 })
    const clients = [dial(listener.address), dial(listener.address)]
    await Promise.all(clients)
    const late = dial(listener.address, { timeout: 30 })
    await expect(late).rejects.toEqual(errorWithCode('TIMEOUT'))
    const aborted = dial(listener.address, { signal: AbortSignal.timeout(10) })
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' })
    const third = dial(listener.address)
    await acceptNext(listener)
    await third
  })

  it('TCP that answers nothing: connect gives up at its timeout or signal', async () => {
    const listener = await startListener(TCP, { ...LINES, backlog: 1 })
    const { address } = listener
    await Promise.all([dial(address), dial(address)])
    const late = dial(address, { timeout: 30 })
    await expect(late).rejects.toEqual(errorWithCode('TIMEOUT'))
    const aborted = dial(address, { signal: AbortSignal.timeout(10) })
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' })
    const early = dial(address, { signal: AbortSignal.abort() })
    await expect(early).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('{ fd }: a listening socket that was inherited, as systemd gives it', async () => {
    for (const where of [TCP, join(temporaryDirectory(), 's'), '']) {
      const listener = await startListener(where, LINES)
      const peer = new Peer(process.execPath, [CHILD, 'listen-fd'], {
        stdio: ['pipe', 'pipe', 'pipe', listener.fd],
      })
      expect(await peer.receive()).toEqual(listener.address)
      const client = await dial(listener.address)
      expect((await client.request('hi')).value).toBe('echo hi')
      await peer.stop()
      expect(where !== listener.address || existsSync(where as string)).toBe(true)
    }
  })

  it('{ fd } of what does not listen is refused, and stays open', async () => {
    const listener = await startListener('', LINES)
    const client = await dial(listener.address)
    const fd = client.detach()
    await expect(listen({ fd }, LINES)).rejects.toEqual(errorWithCode('WRONG_SOCKET'))
    await expect(listen({ fd: listener.fd }, LINES)).rejects.toThrow(/belongs to/)
    const { adopt } = await import('fdwire')
    track(adopt(fd, LINES)).send('open')
  })
})

describe('many', () => {
  it('without descriptors it pauses with one warning, and goes on when there are some', async () => {
    const peer = new Peer('sh', [
      '-c',
      'ulimit -n 40; exec "$0" "$1" echo-server',
      process.execPath,
      CHILD,
    ])
    const address = await peer.receive()
    const options = { protocol: 'length_prefixed', timeout: 0 }
    const clients = await Promise.all(Array.from({ length: 60 }, () => dial(address, options)))
    expect(await peer.receive()).toEqual({ warning: 'FDWIRE_ACCEPT_PAUSED' })
    const served = await Promise.all(
      clients.map(async (client, i) => {
        const { value } = await client.request(patternBytes(1_000 + i))
        await client.close()
        return (value as Buffer).length - i
      }),
    )
    expect(new Set(served)).toEqual(new Set([1_000]))
    const next = expect(peer.receive()).rejects.toThrow(/exited with SIGKILL/)
    await peer.stop()
    await next
  })

  it('2,000 connections at once, each with messages both ways', async () => {
    const peer = new Peer('sh', [
      '-c',
      'ulimit -n $(ulimit -Hn); exec "$0" "$1" many-connections 2000',
      process.execPath,
      CHILD,
    ])
    expect(await peer.receive()).toEqual({ served: 6_000, connections: 2_000 })
    expect(await peer.receive()).toBe(0)
    expect(await peer.exited).toBe(0)
  })

  it('closes while connections come, and leaves nothing', async () => {
    for (let i = 0; i < 10; i++) {
      const listener = await listen('', LINES)
      const clients = await Promise.all([1, 2, 3].map(() => dial(listener.address)))
      listener.on('connection', channel => {
        track(channel)
        void listener.close()
      })
      await once(listener, 'close')
      for (const client of clients) client.destroy()
      await Promise.all(clients.map(whenClosed))
    }
  })

  it('close inside of connection, and a listener that throws, lose no other one', async () => {
    const listener = await startListener('', LINES)
    const got: Channel[] = []
    const thrown: unknown[] = []
    const catcher = (error: unknown) => void thrown.push(error)
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', catcher)
    try {
      listener.on('connection', channel => {
        got.push(track(channel))
        if (got.length === 1) throw new Error('mine')
        if (got.length === 2) void channel.close()
      })
      for (let i = 0; i < 3; i++) await dial(listener.address)
      await waitUntil(() => got.length === 3)
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const other of others) process.on('uncaughtException', other)
    }
    expect(thrown).toHaveLength(1)
    await waitUntil(() => listener.connections === 2)
  })
})
