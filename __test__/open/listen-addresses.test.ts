import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, connect, type Listener, listen, type Message, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import {
  cleanUpAfterEach,
  Peer,
  streamsPeer,
  temporaryDirectory,
  testPath,
} from '../support/processes.js'
import {
  abstractName,
  acceptNext,
  LINES,
  receiveUpTo,
  runCleanupsAfterEach,
  startListener,
  waitUntil,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const CHILD = testPath('support/children/streams.mjs')
/** The kernel's default of TCP_KEEPIDLE (s). */
const IDLE = Number(readFileSync('/proc/sys/net/ipv4/tcp_keepalive_time', 'utf8'))
const TCP = { host: '127.0.0.1', port: 0 }

const dial = async (to: unknown, options = {}): Promise<Channel> =>
  track((await connect(to as never, { ...LINES, ...options })) as Channel)

/** Returns a duplicate of a listener's descriptor that nothing in this process owns. */
async function duplicate(listener: Listener): Promise<number> {
  const [a, b] = pair({ protocol: 'jsoncomm' })
  track(a).send(null, { fds: [listener.fd] })
  const message = await track(b).receive()
  return (message as Message).fds.take(0)
}

/** Returns TCP_NODELAY, SO_KEEPALIVE and TCP_KEEPIDLE (s) of a socket, as Python reads them. */
function tcpOptions(fd: number): number[] {
  const script = `import json, socket as s
socket = s.socket(fileno=3)
options = [(s.IPPROTO_TCP, s.TCP_NODELAY), (s.SOL_SOCKET, s.SO_KEEPALIVE), (s.IPPROTO_TCP, s.TCP_KEEPIDLE)]
print(json.dumps([socket.getsockopt(*option) for option in options]))`
  const stdio = ['ignore', 'pipe', 'inherit', fd] as const
  return JSON.parse(execFileSync('python3', ['-c', script], { stdio: [...stdio] }).toString())
}

describe('the socket file of a listener', () => {
  it('has exactly its mode under any umask', async () => {
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

  it('is removed by close, which leaves the channels open', async () => {
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
})

describe('listen on an existing path', () => {
  it('fails with EADDRINUSE if a live listener is bound to it, and that listener stays reachable', async () => {
    const path = join(temporaryDirectory(), 's')
    const listener = await startListener(path, LINES)
    for (const unlink of ['stale', false] as const) {
      const again = listen(path, { ...LINES, unlink })
      await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE', path })
    }
    await Promise.all([acceptNext(listener), dial(path)])
  })

  it('replaces a stale socket unless unlink is false', async () => {
    const path = join(temporaryDirectory(), 's')
    const peer = streamsPeer('race', path)
    await peer.receive()
    await peer.stop()
    expect(lstatSync(path).isSocket()).toBe(true)
    const refused = listen(path, { ...LINES, unlink: false })
    await expect(refused).rejects.toMatchObject({ code: 'EADDRINUSE' })
    const listener = await startListener(path, LINES)
    await Promise.all([acceptNext(listener), dial(path)])
  })

  it("replaces a live socket with unlink 'always', and the previous owner does not unlink the new one", async () => {
    const path = join(temporaryDirectory(), 's')
    const first = await startListener(path, LINES)
    const second = await startListener(path, { ...LINES, unlink: 'always' })
    await first.close()
    await Promise.all([acceptNext(second), dial(path)])
  })

  it('fails with EEXIST if it is not a socket, and does not remove it', async () => {
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

  it('succeeds in exactly one of fifty processes at once if it is stale, and that one is reachable', async () => {
    const path = join(temporaryDirectory(), 's')
    const stale = streamsPeer('race', path)
    await stale.receive()
    await stale.stop()
    const peers = Array.from({ length: 50 }, () => streamsPeer('race', path))
    const lines = await Promise.all(peers.map(peer => peer.receive()))
    const winners = lines.filter(({ won }) => won).map(({ won }) => won)
    expect(winners).toHaveLength(1)
    expect(new Set(lines.map(({ lost }) => lost))).toEqual(new Set([undefined, 'EADDRINUSE']))
    expect(await receiveUpTo(await dial(path), 1)).toEqual([`${winners[0]}`])
  }, 60_000)
})

describe('the address of a listener', () => {
  it('is the requested one, or the one that the kernel has chosen', async () => {
    const name = abstractName()
    const path = join(temporaryDirectory(), 's')
    expect((await startListener(name, LINES)).address).toBe(name)
    expect((await startListener(path, LINES)).address).toBe(path)
    expect((await startListener(null, LINES)).address).toMatch(/^\0[0-9a-f]{5}$/)
    const { address } = await startListener(TCP, LINES)
    expect(address).toEqual({ host: '127.0.0.1', port: expect.any(Number) })
    expect((address as { port: number }).port).toBeGreaterThan(0)
    await expect(listen(name, LINES)).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await expect(listen(address as typeof TCP, LINES)).rejects.toMatchObject({ code: 'EADDRINUSE' })
  })

  it('can be shared over TCP with reusePort', async () => {
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
})

describe('connect', () => {
  it('fails with ECONNREFUSED or a DNS error if there is no listener', async () => {
    const listener = await listen(TCP, LINES)
    const { address } = listener
    await listener.close()
    await expect(dial(address)).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      syscall: 'connect',
      port: (address as typeof TCP).port,
    })
    await expect(dial('\0fdwire-unbound')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await expect(dial({ host: 'unknown.invalid', port: 1 })).rejects.toMatchObject({
      code: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/),
    })
  })

  it('waits for room in a full backlog until its timeout or abort', async () => {
    const listener = await startListener(null, { ...LINES, backlog: 1 })
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

  it('gives up at its timeout or abort if a TCP server does not respond', async () => {
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
})

describe('listen on a descriptor', () => {
  it('accepts connections of an inherited listening socket, as systemd passes it', async () => {
    for (const where of [TCP, join(temporaryDirectory(), 's'), null]) {
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

  it('gives accepted TCP connections noDelay and keepAlive, and leaves the listener as it is', async () => {
    for (const [options, expected] of [
      [{ noDelay: true, keepAlive: 5_000 }, [1, 1, 5]],
      [{ noDelay: false, keepAlive: true }, [0, 1, IDLE]],
      [{ noDelay: false }, [0, 0, IDLE]],
    ] as const) {
      const original = await startListener(TCP, { ...LINES, noDelay: false })
      const fd = await duplicate(original)
      const listener = await startListener({ fd }, { ...LINES, ...options })
      const [channel] = await Promise.all([acceptNext(listener), dial(original.address)])
      expect(tcpOptions(channel.fd)).toEqual(expected)
      expect(tcpOptions(listener.fd)).toEqual([0, 0, IDLE])
    }
  })

  it('fails if the socket does not listen, and leaves it open', async () => {
    const listener = await startListener(null, LINES)
    const client = await dial(listener.address)
    const fd = client.detach()
    await expect(listen({ fd }, LINES)).rejects.toEqual(errorWithCode('WRONG_SOCKET'))
    await expect(listen({ fd: listener.fd }, LINES)).rejects.toThrow(/belongs to/)
    const { adopt } = await import('fdwire')
    track(adopt(fd, LINES)).send('open')
  })
})
