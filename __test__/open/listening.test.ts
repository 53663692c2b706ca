import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, connect, listen } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { cleanUp, coded, keep, turns } from '../support/channels.js'
import { beside, directory, Peer, tidy } from '../support/processes.js'
import {
  abstractName,
  accepted,
  cleanUpStreams,
  closedOf,
  LINES,
  listening,
  noise,
  takeValues,
  until,
} from '../support/streams.js'

cleanUp()
cleanUpStreams()
tidy()

const CHILD = beside('support/children/streams.mjs')
const TCP = { host: '127.0.0.1', port: 0 }
const child = (name: string, ...args: unknown[]) =>
  new Peer(process.execPath, [CHILD, name, ...args.map(arg => JSON.stringify(arg))])
const dial = async (to: unknown, options = {}): Promise<Channel> =>
  keep((await connect(to as never, { ...LINES, ...options })) as Channel)

describe('connections are accepted only while somebody wants one', () => {
  it('none without a consumer, one for each pending next()', async () => {
    const listener = await listening('', LINES)
    const clients = [await dial(listener.address), await dial(listener.address)]
    clients.forEach((client, i) => void client.send(`${i}`))
    await turns(5)
    expect(listener.connections).toBe(0)
    const first = await accepted(listener)
    await turns(5)
    expect(listener.connections).toBe(1)
    const second = await accepted(listener)
    expect([...(await takeValues(first, 1)), ...(await takeValues(second, 1))]).toEqual(['0', '1'])
  })

  it('all for a listener of the event, and those that once() has left over for the next', async () => {
    const listener = await listening('', LINES)
    for (let i = 0; i < 3; i++) void (await dial(listener.address)).send(`${i}`)
    const [first] = (await once(listener, 'connection')) as [Channel]
    expect(await takeValues(keep(first), 1)).toEqual(['0'])
    const got: Channel[] = []
    listener.on('connection', channel => void got.push(keep(channel)))
    await until(() => got.length === 2)
    expect(await takeValues(got[1] as Channel, 1)).toEqual(['2'])
  })

  it('an iterator beside a listener of the event is a conflict', async () => {
    const listener = await listening('', LINES)
    const waiting = listener[Symbol.asyncIterator]().next()
    expect(() => listener.on('connection', () => {})).toThrow(coded('CONSUMER_CONFLICT'))
    void dial(listener.address)
    keep((await waiting).value as Channel)
    listener.on('connection', () => {})
    const next = listener[Symbol.asyncIterator]().next()
    await expect(next).rejects.toEqual(coded('CONSUMER_CONFLICT'))
  })

  it('break closes nothing, close ends an iteration', async () => {
    const listener = await listening('', LINES)
    void dial(listener.address)
    for await (const channel of listener) {
      keep(channel)
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
    const listener = await listening(TCP, { ...LINES, maxConnections: 2 })
    const got: Channel[] = []
    listener.on('connection', channel => void got.push(keep(channel)))
    for (let i = 0; i < 5; i++) await dial(listener.address)
    await until(() => got.length === 2)
    await turns(10)
    expect([got.length, listener.connections]).toEqual([2, 2])
    for (let i = 0; i < 3; i++) {
      got[i]?.destroy()
      await until(() => got.length === 3 + i)
      expect(listener.connections).toBe(2)
    }
  })

  it('a connection that nobody has seen can fail without harm', async () => {
    const peer = child('unseen')
    expect(await peer.line()).toBe(0)
    expect(await peer.ended).toBe(0)
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
    const listener = await listening('', { ...LINES, allowPeer })
    const drops: unknown[] = []
    const got: Channel[] = []
    listener.on('drop', drop => drops.push(drop))
    listener.on('connection', channel => void got.push(keep(channel)))
    const client = await dial(listener.address)
    if (!isIn) expect(await client.receive()).toBe(null)
    await until(() => drops.length + got.length > 0)
    expect([drops, got.length]).toEqual(isIn ? [[], 1] : [[{ reason: 'allowPeer' }], 0])
    if (!isIn) expect(listener.connections).toBe(0)
  })

  it('that throws drops with the error, and the listener goes on', async () => {
    const fatal = new Error('no')
    const peers: unknown[] = []
    const listener = await listening('', {
      ...LINES,
      allowPeer(peer: unknown) {
        if (peers.push(peer) === 1) throw fatal
        return true
      },
    })
    const dropped = once(listener, 'drop')
    const [next] = await Promise.all([
      accepted(listener),
      dial(listener.address),
      dial(listener.address),
    ])
    expect(await dropped).toEqual([{ reason: 'allowPeer', error: fatal }])
    const { pid, getuid, getgid } = process
    expect(peers).toEqual([0, 1].map(() => ({ pid, uid: getuid?.(), gid: getgid?.() })))
    expect(next.peer).toEqual(peers[0])
  })

  it('a rejecting handler destroys its channel with captureRejections', async () => {
    const listener = await listening('', { ...LINES, captureRejections: true })
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
    const listener = await listening(TCP, { ...LINES, allowPeer })
    const [channel, client] = await Promise.all([accepted(listener), dial(listener.address)])
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
        const path = join(directory(), 's')
        const before = process.umask(umask)
        const listener = await listening(path, { ...LINES, mode }).finally(() => {
          process.umask(before)
        })
        expect(statSync(path).mode & 0o777).toBe(mode)
        await listener.close()
      }
    }
    const path = join(directory(), 's')
    await listening(path, LINES)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is removed by close, which leaves the channels alive', async () => {
    const path = join(directory(), 's')
    const listener = await listening(path, LINES)
    const [channel, client] = await Promise.all([accepted(listener), dial(path)])
    await listener.close()
    await listener.close()
    expect([existsSync(path), listener.closed, listener.fd]).toEqual([false, true, -1])
    client.send('still')
    expect(await takeValues(channel, 1)).toEqual(['still'])
    await expect(dial(path)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(() => listener.ref()).toThrow(coded('CLOSED'))
  })

  it('that is live is EADDRINUSE, and lives on', async () => {
    const path = join(directory(), 's')
    const listener = await listening(path, LINES)
    for (const unlink of ['stale', false] as const) {
      const again = listen(path, { ...LINES, unlink })
      await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE', path })
    }
    await Promise.all([accepted(listener), dial(path)])
  })

  it('that is stale is taken over, unless unlink is false', async () => {
    const path = join(directory(), 's')
    const peer = child('race', path)
    await peer.line()
    await peer.stop()
    expect(lstatSync(path).isSocket()).toBe(true)
    const refused = listen(path, { ...LINES, unlink: false })
    await expect(refused).rejects.toMatchObject({ code: 'EADDRINUSE' })
    const listener = await listening(path, LINES)
    await Promise.all([accepted(listener), dial(path)])
  })

  it('that is live is taken by unlink: always, and its first owner does not remove ours', async () => {
    const path = join(directory(), 's')
    const first = await listening(path, LINES)
    const second = await listening(path, { ...LINES, unlink: 'always' })
    await first.close()
    await Promise.all([accepted(second), dial(path)])
  })

  it('that is no socket is EEXIST, and stays', async () => {
    const base = directory()
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
    const path = join(directory(), 's')
    const stale = child('race', path)
    await stale.line()
    await stale.stop()
    const peers = Array.from({ length: 50 }, () => child('race', path))
    const lines = await Promise.all(peers.map(peer => peer.line()))
    const winners = lines.filter(({ won }) => won).map(({ won }) => won)
    expect(winners).toHaveLength(1)
    expect(new Set(lines.map(({ lost }) => lost))).toEqual(new Set([undefined, 'EADDRINUSE']))
    expect(await takeValues(await dial(path), 1)).toEqual([`${winners[0]}`])
  }, 60_000)
})

describe('addresses', () => {
  it('are what they were asked to be, or what the kernel has chosen', async () => {
    const name = abstractName()
    const path = join(directory(), 's')
    expect((await listening(name, LINES)).address).toBe(name)
    expect((await listening(path, LINES)).address).toBe(path)
    expect((await listening('', LINES)).address).toMatch(/^\0[0-9a-f]{5}$/)
    const { address } = await listening(TCP, LINES)
    expect(address).toEqual({ host: '127.0.0.1', port: expect.any(Number) })
    expect((address as { port: number }).port).toBeGreaterThan(0)
    await expect(listen(name, LINES)).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await expect(listen(address as typeof TCP, LINES)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })

  it('may be shared over TCP with reusePort', async () => {
    const first = await listening(TCP, { ...LINES, reusePort: true })
    const second = await listening(first.address, { ...LINES, reusePort: true })
    const count = [0, 0]
    for (const [i, one] of [first, second].entries()) {
      one.on('connection', channel => {
        keep(channel)
        count[i] = (count[i] as number) + 1
      })
    }
    for (let i = 0; i < 40; i++) await dial(first.address)
    await until(() => (count[0] as number) + (count[1] as number) === 40)
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
    const listener = await listening('', { ...LINES, backlog: 1 })
    const clients = [dial(listener.address), dial(listener.address)]
    await Promise.all(clients)
    const late = dial(listener.address, { timeout: 30 })
    await expect(late).rejects.toEqual(coded('TIMEOUT'))
    const aborted = dial(listener.address, { signal: AbortSignal.timeout(10) })
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' })
    const third = dial(listener.address)
    await accepted(listener)
    await third
  })

  it('TCP that answers nothing: connect gives up at its timeout or signal', async () => {
    const listener = await listening(TCP, { ...LINES, backlog: 1 })
    const { address } = listener
    await Promise.all([dial(address), dial(address)])
    const late = dial(address, { timeout: 30 })
    await expect(late).rejects.toEqual(coded('TIMEOUT'))
    const aborted = dial(address, { signal: AbortSignal.timeout(10) })
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' })
    const early = dial(address, { signal: AbortSignal.abort() })
    await expect(early).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('{ fd }: a listening socket that was inherited, as systemd gives it', async () => {
    for (const where of [TCP, join(directory(), 's'), '']) {
      const listener = await listening(where, LINES)
      const peer = new Peer(process.execPath, [CHILD, 'given'], {
        stdio: ['pipe', 'pipe', 'pipe', listener.fd],
      })
      expect(await peer.line()).toEqual(listener.address)
      const client = await dial(listener.address)
      expect((await client.request('hi')).value).toBe('echo hi')
      await peer.stop()
      expect(where !== listener.address || existsSync(where as string)).toBe(true)
    }
  })

  it('{ fd } of what does not listen is refused, and stays open', async () => {
    const listener = await listening('', LINES)
    const client = await dial(listener.address)
    const fd = client.detach()
    await expect(listen({ fd }, LINES)).rejects.toEqual(coded('WRONG_SOCKET'))
    await expect(listen({ fd: listener.fd }, LINES)).rejects.toThrow(/belongs to/)
    const { adopt } = await import('fdwire')
    keep(adopt(fd, LINES)).send('open')
  })
})

describe('many', () => {
  it('without descriptors it pauses with one warning, and goes on when there are some', async () => {
    const peer = new Peer('sh', [
      '-c',
      'ulimit -n 40; exec "$0" "$1" scarce',
      process.execPath,
      CHILD,
    ])
    const address = await peer.line()
    const options = { protocol: 'length_prefixed', timeout: 0 }
    const clients = await Promise.all(Array.from({ length: 60 }, () => dial(address, options)))
    expect(await peer.line()).toEqual({ warning: 'FDWIRE_ACCEPT_PAUSED' })
    const served = await Promise.all(
      clients.map(async (client, i) => {
        const { value } = await client.request(noise(1_000 + i))
        await client.close()
        return (value as Buffer).length - i
      }),
    )
    expect(new Set(served)).toEqual(new Set([1_000]))
    const next = expect(peer.line()).rejects.toThrow(/ended with SIGKILL/)
    await peer.stop()
    await next
  })

  it('2,000 connections at once, each with messages both ways', async () => {
    const peer = new Peer('sh', [
      '-c',
      'ulimit -n $(ulimit -Hn); exec "$0" "$1" crowd 2000',
      process.execPath,
      CHILD,
    ])
    expect(await peer.line()).toEqual({ served: 6_000, connections: 2_000 })
    expect(await peer.line()).toBe(0)
    expect(await peer.ended).toBe(0)
  })

  it('closes while connections come, and leaves nothing', async () => {
    for (let i = 0; i < 10; i++) {
      const listener = await listen('', LINES)
      const clients = await Promise.all([1, 2, 3].map(() => dial(listener.address)))
      listener.on('connection', channel => {
        keep(channel)
        void listener.close()
      })
      await once(listener, 'close')
      for (const client of clients) client.destroy()
      await Promise.all(clients.map(closedOf))
    }
  })

  it('close inside of connection, and a listener that throws, lose no other one', async () => {
    const listener = await listening('', LINES)
    const got: Channel[] = []
    const thrown: unknown[] = []
    const catcher = (error: unknown) => void thrown.push(error)
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', catcher)
    try {
      listener.on('connection', channel => {
        got.push(keep(channel))
        if (got.length === 1) throw new Error('mine')
        if (got.length === 2) void channel.close()
      })
      for (let i = 0; i < 3; i++) await dial(listener.address)
      await until(() => got.length === 3)
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const other of others) process.on('uncaughtException', other)
    }
    expect(thrown).toHaveLength(1)
    await until(() => listener.connections === 2)
  })
})
