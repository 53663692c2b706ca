/** The handshake of fdwire/uds_comms, with whoever comes. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, connect, listen, over, pair } from 'fdwire'
import { QUIT, UdsClient, type UdsClientOptions, UdsServer } from 'fdwire/uds_comms'
import { describe, expect, it } from 'vitest'
import { cleanUp, coded, turns } from '../../support/channels.js'
import { directory, tidy } from '../../support/processes.js'
import { until } from '../../support/streams.js'
import {
  answering,
  cleanUpConnections,
  dropped,
  EPIPE,
  FAILED,
  frame,
  kept,
  LATE,
  met,
  outcomes,
  PROTOCOL,
  python,
  READY,
  serving,
  stranger,
} from '../../support/uds_comms.js'

tidy()
cleanUp()
cleanUpConnections()

describe('the handshake, for a server', () => {
  it('fails with a client that leaves, and the next one is accepted', async () => {
    const { path, server } = await serving()
    const drops = dropped(server)
    const waiting = server.waitForConnection()
    stranger(path, '%UkVBR').end()
    await until(() => drops.length === 1)
    const killed = python()
    await killed.ask({ op: 'open', path })
    await killed.ask({ op: 'send', raw: Buffer.from('%UkVB').toString('hex') })
    killed.say({ op: 'kill' })
    await until(() => drops.length === 2)
    const client = kept(await UdsClient.connect(path))
    await waiting
    expect(drops).toEqual([FAILED, FAILED])
    await server.send('welcome')
    expect(await client.receive()).toBe('welcome')
  })

  it('has a time limit, after which the next one is accepted', async () => {
    const { path, server } = await serving({ handshakeTimeout: 20 })
    const drops = dropped(server)
    const waiting = server.waitForConnection()
    const silent = stranger(path)
    const babbling = stranger(path, frame('ready').repeat(1_000))
    const ends = [silent, babbling].map(socket => once(socket.resume(), 'close'))
    await Promise.all(ends)
    const client = kept(await UdsClient.connect(path))
    await waiting
    expect(drops).toEqual([LATE, LATE])
    await client.send('here')
    expect(await server.receive()).toBe('here')
  })

  it('bears any rubbish', async () => {
    const { path, server } = await serving({ handshakeTimeout: 5_000, maxMessage: 1_000 })
    const drops = dropped(server)
    const waiting = server.waitForConnection()
    const rubbish = [
      '',
      '$$$',
      '%%%$%$$',
      '%!$',
      '\0\xff',
      `%${'A'.repeat(5_000)}`,
      `%${READY.slice(2)}`,
    ]
    for (const [index, bytes] of rubbish.entries()) {
      stranger(path, bytes).end()
      await until(() => drops.length > index)
    }
    expect(drops).toEqual(rubbish.map(() => FAILED))
    // A frame that is cut off by the next one, which is READY.
    stranger(path, `%UkV${READY}${frame('hello')}`)
    await waiting
    expect(await server.receive()).toBe('hello')
  })

  it('is given up by timeout or signal, and the next call accepts', async () => {
    const { path, server } = await serving()
    await expect(server.waitForConnection({ timeout: 1 })).rejects.toEqual(coded('TIMEOUT'))
    const controller = new AbortController()
    const { signal } = controller
    const waiting = server.waitForConnection({ signal })
    await expect(server.waitForConnection()).rejects.toEqual(coded('CONSUMER_CONFLICT'))
    const silent = stranger(path)
    await once(silent, 'connect')
    await until(() => server.listener?.connections === 1)
    await turns(3)
    controller.abort()
    await expect(waiting).rejects.toHaveProperty('name', 'AbortError')
    await once(silent.resume(), 'close')
    await expect(server.waitForConnection({ signal })).rejects.toHaveProperty('name', 'AbortError')
    // In the middle of a handshake too.
    stranger(path)
    await expect(server.waitForConnection({ timeout: 10 })).rejects.toEqual(coded('TIMEOUT'))
    const [client] = await Promise.all([UdsClient.connect(path), server.waitForConnection()])
    kept(client)
    await server.send('x')
    expect(await client.receive()).toBe('x')
  })

  it('ends with the server', async () => {
    for (const comes of [true, false]) {
      const { path, server } = await serving()
      const waiting = server.waitForConnection()
      waiting.catch(() => {})
      if (comes) {
        stranger(path)
        await until(() => server.listener?.connections === 1)
        await turns(3)
      }
      await server.close()
      await expect(waiting).rejects.toEqual(coded('CLOSED'))
      await expect(server.waitForConnection()).rejects.toEqual(coded('CLOSED'))
      expect([existsSync(path), server.listener?.connections]).toEqual([false, 0])
    }
  })
})

describe('the handshake, for a client', () => {
  it.each([
    ['another text', '%Tk8=$', false],
    ['no base64', '%bad$', false],
    ['a frame that is too long', `%${'A'.repeat(2_000)}`, false],
    ['nothing', '', true],
    ['half a frame', '%T0', true],
  ])('fails where the server answers %s', async (_, bytes, ends) => {
    const path = await answering(bytes, ends)
    await expect(UdsClient.connect(path, { maxMessage: 999 })).rejects.toEqual(coded('HANDSHAKE'))
  })

  it('has a time limit, that of connect included, and a signal', async () => {
    const path = await answering(frame('').slice(1))
    const silent = (options: UdsClientOptions) => expect(UdsClient.connect(path, options)).rejects
    await silent({ handshakeTimeout: 5 }).toEqual(coded('TIMEOUT'))
    await silent({ timeout: 5 }).toEqual(coded('TIMEOUT'))
    await silent({ signal: AbortSignal.timeout(5) }).toHaveProperty('name', 'AbortError')
    await silent({ signal: AbortSignal.abort() }).toHaveProperty('name', 'AbortError')
  })

  it('is not begun where nobody listens', async () => {
    const path = join(directory(), 'uds')
    await expect(UdsClient.connect(path)).rejects.toEqual(coded('ENOENT'))
    const { server, path: stale } = await serving()
    await server.close()
    await expect(UdsClient.connect(stale)).rejects.toEqual(coded('ENOENT'))
  })
})

describe('one client at a time', () => {
  it('fifty, one after the other', async () => {
    const { server, path } = await serving()
    for (let i = 0; i < 50; i++) {
      const [client] = await Promise.all([UdsClient.connect(path), server.waitForConnection()])
      await client.send(`${i}`)
      expect(await server.receive()).toBe(`${i}`)
      await server.send(QUIT)
      expect(await client.receive()).toBe(QUIT)
      await client.close()
      expect(await server.receive()).toBe(null)
    }
  })

  it('fifty, that all come at once', async () => {
    const { server, path } = await serving()
    const clients = Array.from({ length: 50 }, async (_, i) => {
      const client = kept(await UdsClient.connect(path))
      await client.send(`${i}`)
      expect(await client.receive()).toBe(QUIT)
      await client.close()
    })
    const seen = new Set<string | null>()
    while (seen.size < 50) {
      await server.waitForConnection()
      seen.add(await server.receive())
      await server.send(QUIT)
      expect(await server.receive()).toBe(null)
    }
    await Promise.all(clients)
  })

  it('a client that is still there is closed for the next one', async () => {
    const { server, client, path } = await met()
    await server.send('last words')
    const [next] = await Promise.all([UdsClient.connect(path), server.waitForConnection()])
    kept(next)
    expect(await outcomes(client, 2)).toEqual(['last words', null])
    await expect(client.send('x')).rejects.toEqual(EPIPE)
    await next.send('hello')
    expect(await server.receive()).toBe('hello')
  })

  it('there is nobody to talk with before the first', async () => {
    const { server } = await serving()
    await expect(server.send('x')).rejects.toEqual(coded('ENOTCONN'))
    await expect(server.receive()).rejects.toEqual(coded('ENOTCONN'))
    expect(server.channel).toBe(undefined)
  })
})

describe('over any channel', () => {
  it('of a pair, one that was adopted, of TCP, or of a Duplex', async () => {
    const tcp = kept(await listen({ host: '127.0.0.1', port: 0 }, PROTOCOL))
    const accepted = tcp[Symbol.asyncIterator]().next()
    const near = await connect(tcp.address as { host: string; port: number }, PROTOCOL)
    const raw = stranger(await duplexPath())
    await once(raw, 'connect')
    const pairs: [Channel<string>, Channel<string>][] = [
      pair(PROTOCOL),
      [near, (await accepted).value as Channel<string>],
      [over(raw, PROTOCOL), await throughPath],
    ]
    for (const [one, other] of pairs) {
      const server = kept(UdsServer.over(other))
      const [client] = await Promise.all([UdsClient.over(one), server.waitForConnection()])
      kept(client)
      await server.send('question')
      expect(await client.receive()).toBe('question')
      await client.send('answer')
      expect(await server.receive()).toBe('answer')
      await expect(server.waitForConnection()).rejects.toEqual(coded('CLOSED'))
      expect(server.listener).toBe(undefined)
      await Promise.all([client.close(), server.close()])
    }
  })

  it('a handshake that fails closes it, and rejects', async () => {
    for (const [bytes, code] of [
      ['READY?', 'TIMEOUT'],
      ['', 'HANDSHAKE'],
    ] as const) {
      const [far, near] = pair(PROTOCOL)
      const server = UdsServer.over(near, { handshakeTimeout: 10 })
      if (bytes === '') await far.close()
      else far.send(bytes)
      await expect(server.waitForConnection()).rejects.toEqual(coded(code))
      expect(near.closed).toBe(true)
      await server.close()
      await far.close()
    }
    const [far, near] = pair(PROTOCOL)
    const late = UdsClient.over(near, { handshakeTimeout: 10, timeout: 5 })
    await expect(late).rejects.toEqual(coded('TIMEOUT'))
    expect(near.closed).toBe(true)
    await far.close()
  })

  it('a server that is closed before its client came closes the channel', async () => {
    const [far, near] = pair(PROTOCOL)
    await UdsServer.over(near).close()
    expect(near.closed).toBe(true)
    await far.close()
  })

  let throughPath: Promise<Channel<string>>

  /** Where a Duplex may connect. */
  async function duplexPath(): Promise<string> {
    const path = join(directory(), 'duplex')
    const listener = kept(await listen(path, PROTOCOL))
    throughPath = once(listener, 'connection').then(([channel]) => channel)
    return path
  }
})
