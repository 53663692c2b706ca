/** The handshake of fdwire/uds_comms with well-behaved, silent and malicious peers. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, connect, listen, over, pair } from 'fdwire'
import { QUIT, UdsClient, type UdsClientOptions, UdsServer } from 'fdwire/uds_comms'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'
import { waitUntil } from '../../support/streams.js'
import {
  closeAfterTest,
  closeConnectionsAfterEach,
  connectedClient,
  EPIPE,
  frame,
  HANDSHAKE_FAILED,
  HANDSHAKE_TIMED_OUT,
  READY,
  rawClient,
  receiveOutcomes,
  recordDrops,
  startPython,
  startRawListener,
  startServer,
  UDS_COMMS,
} from '../../support/uds_comms.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
closeConnectionsAfterEach()

describe('the handshake of a UdsServer', () => {
  it('fails if the client disconnects, and the server accepts the next client', async () => {
    const { path, server } = await startServer()
    const drops = recordDrops(server)
    const waiting = server.waitForConnection()
    rawClient(path, '%UkVBR').end()
    await waitUntil(() => drops.length === 1)
    const killed = startPython()
    await killed.request({ op: 'open', path })
    await killed.request({ op: 'send', raw: Buffer.from('%UkVB').toString('hex') })
    killed.send({ op: 'kill' })
    await waitUntil(() => drops.length === 2)
    const client = closeAfterTest(await UdsClient.connect(path))
    await waiting
    expect(drops).toEqual([HANDSHAKE_FAILED, HANDSHAKE_FAILED])
    await server.send('welcome')
    expect(await client.receive()).toBe('welcome')
  })

  it('fails after handshakeTimeout, and the server accepts the next client', async () => {
    const { path, server } = await startServer({ handshakeTimeout: 20 })
    const drops = recordDrops(server)
    const waiting = server.waitForConnection()
    const silent = rawClient(path)
    const chatty = rawClient(path, frame('ready').repeat(1_000))
    const ends = [silent, chatty].map(socket => once(socket.resume(), 'close'))
    await Promise.all(ends)
    const client = closeAfterTest(await UdsClient.connect(path))
    await waiting
    expect(drops).toEqual([HANDSHAKE_TIMED_OUT, HANDSHAKE_TIMED_OUT])
    await client.send('here')
    expect(await server.receive()).toBe('here')
  })

  it('fails on malformed input, and succeeds on READY after a cut-off frame', async () => {
    const { path, server } = await startServer({ handshakeTimeout: 5_000, maxMessage: 1_000 })
    const drops = recordDrops(server)
    const waiting = server.waitForConnection()
    const inputs = [
      '',
      '$$$',
      '%%%$%$$',
      '%!$',
      '\0\xff',
      `%${'A'.repeat(5_000)}`,
      `%${READY.slice(2)}`,
    ]
    for (const [index, bytes] of inputs.entries()) {
      rawClient(path, bytes).end()
      await waitUntil(() => drops.length > index)
    }
    expect(drops).toEqual(inputs.map(() => HANDSHAKE_FAILED))
    // READY cuts off the frame before it.
    rawClient(path, `%UkV${READY}${frame('hello')}`)
    await waiting
    expect(await server.receive()).toBe('hello')
  })

  it('is aborted by a timeout or signal, after which the next call accepts a client', async () => {
    const { path, server } = await startServer()
    await expect(server.waitForConnection({ timeout: 1 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    const controller = new AbortController()
    const { signal } = controller
    const waiting = server.waitForConnection({ signal })
    await expect(server.waitForConnection()).rejects.toEqual(errorWithCode('CONSUMER_CONFLICT'))
    const silent = rawClient(path)
    await once(silent, 'connect')
    await waitUntil(() => server.listener?.connections === 1)
    await loopTurns(3)
    controller.abort()
    await expect(waiting).rejects.toHaveProperty('name', 'AbortError')
    await once(silent.resume(), 'close')
    await expect(server.waitForConnection({ signal })).rejects.toHaveProperty('name', 'AbortError')
    // The same while a handshake is in progress.
    rawClient(path)
    await expect(server.waitForConnection({ timeout: 10 })).rejects.toEqual(
      errorWithCode('TIMEOUT'),
    )
    const [client] = await Promise.all([UdsClient.connect(path), server.waitForConnection()])
    closeAfterTest(client)
    await server.send('x')
    expect(await client.receive()).toBe('x')
  })

  it('fails when the server is closed', async () => {
    for (const isConnected of [true, false]) {
      const { path, server } = await startServer()
      const waiting = server.waitForConnection()
      waiting.catch(() => {})
      if (isConnected) {
        rawClient(path)
        await waitUntil(() => server.listener?.connections === 1)
        await loopTurns(3)
      }
      await server.close()
      await expect(waiting).rejects.toEqual(errorWithCode('CLOSED'))
      await expect(server.waitForConnection()).rejects.toEqual(errorWithCode('CLOSED'))
      expect([existsSync(path), server.listener?.connections]).toEqual([false, 0])
    }
  })
})

describe('the handshake of a UdsClient', () => {
  it.each([
    ['with another text', '%Tk8=$', false],
    ['with invalid base64', '%bad$', false],
    ['with a frame longer than maxMessage', `%${'A'.repeat(2_000)}`, false],
    ['by closing the connection', '', true],
    ['with a partial frame', '%T0', true],
  ])('fails if the server responds %s', async (_, bytes, ends) => {
    const path = await startRawListener(bytes, ends)
    await expect(UdsClient.connect(path, { maxMessage: 999 })).rejects.toEqual(
      errorWithCode('HANDSHAKE'),
    )
  })

  it('is limited by handshakeTimeout, timeout and signal', async () => {
    const path = await startRawListener(frame('').slice(1))
    const silent = (options: UdsClientOptions) => expect(UdsClient.connect(path, options)).rejects
    await silent({ handshakeTimeout: 5 }).toEqual(errorWithCode('TIMEOUT'))
    await silent({ timeout: 5 }).toEqual(errorWithCode('TIMEOUT'))
    await silent({ signal: AbortSignal.timeout(5) }).toHaveProperty('name', 'AbortError')
    await silent({ signal: AbortSignal.abort() }).toHaveProperty('name', 'AbortError')
  })

  it('does not start if no server is listening', async () => {
    const path = join(temporaryDirectory(), 'uds')
    await expect(UdsClient.connect(path)).rejects.toEqual(errorWithCode('ENOENT'))
    const { server, path: stale } = await startServer()
    await server.close()
    await expect(UdsClient.connect(stale)).rejects.toEqual(errorWithCode('ENOENT'))
  })
})

describe('a UdsServer', () => {
  it('serves 50 clients one after the other', async () => {
    const { server, path } = await startServer()
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

  it('serves 50 clients that connect at once, one at a time', async () => {
    const { server, path } = await startServer()
    const clients = Array.from({ length: 50 }, async (_, i) => {
      const client = closeAfterTest(await UdsClient.connect(path))
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

  it('closes the current client when it accepts the next one', async () => {
    const { server, client, path } = await connectedClient()
    await server.send('last message')
    const [next] = await Promise.all([UdsClient.connect(path), server.waitForConnection()])
    closeAfterTest(next)
    expect(await receiveOutcomes(client, 2)).toEqual(['last message', null])
    await expect(client.send('x')).rejects.toEqual(EPIPE)
    await next.send('hello')
    expect(await server.receive()).toBe('hello')
  })

  it('rejects send and receive with ENOTCONN before the first client', async () => {
    const { server } = await startServer()
    await expect(server.send('x')).rejects.toEqual(errorWithCode('ENOTCONN'))
    await expect(server.receive()).rejects.toEqual(errorWithCode('ENOTCONN'))
    expect(server.channel).toBe(undefined)
  })
})

describe('UdsServer.over and UdsClient.over', () => {
  it('run on a pair, on TCP and on a Duplex', async () => {
    const tcp = closeAfterTest(await listen({ host: '127.0.0.1', port: 0 }, UDS_COMMS))
    const accepted = tcp[Symbol.asyncIterator]().next()
    const near = await connect(tcp.address as { host: string; port: number }, UDS_COMMS)
    const raw = rawClient(await listenForDuplex())
    await once(raw, 'connect')
    const pairs: [Channel<string>, Channel<string>][] = [
      pair(UDS_COMMS),
      [near, (await accepted).value as Channel<string>],
      [over(raw, UDS_COMMS), await duplexPeer],
    ]
    for (const [one, other] of pairs) {
      const server = closeAfterTest(UdsServer.over(other))
      const [client] = await Promise.all([UdsClient.over(one), server.waitForConnection()])
      closeAfterTest(client)
      await server.send('request')
      expect(await client.receive()).toBe('request')
      await client.send('reply')
      expect(await server.receive()).toBe('reply')
      await expect(server.waitForConnection()).rejects.toEqual(errorWithCode('CLOSED'))
      expect(server.listener).toBe(undefined)
      await Promise.all([client.close(), server.close()])
    }
  })

  it('reject and close the channel if the handshake fails', async () => {
    for (const [bytes, code] of [
      ['READY?', 'TIMEOUT'],
      ['', 'HANDSHAKE'],
    ] as const) {
      const [far, near] = pair(UDS_COMMS)
      const server = UdsServer.over(near, { handshakeTimeout: 10 })
      if (bytes === '') await far.close()
      else far.send(bytes)
      await expect(server.waitForConnection()).rejects.toEqual(errorWithCode(code))
      expect(near.closed).toBe(true)
      await server.close()
      await far.close()
    }
    const [far, near] = pair(UDS_COMMS)
    const late = UdsClient.over(near, { handshakeTimeout: 10, timeout: 5 })
    await expect(late).rejects.toEqual(errorWithCode('TIMEOUT'))
    expect(near.closed).toBe(true)
    await far.close()
  })

  it('close the channel when the server is closed before the handshake', async () => {
    const [far, near] = pair(UDS_COMMS)
    await UdsServer.over(near).close()
    expect(near.closed).toBe(true)
    await far.close()
  })

  let duplexPeer: Promise<Channel<string>>

  /** Starts a listener for a net.Socket, whose connection `duplexPeer` resolves to. */
  async function listenForDuplex(): Promise<string> {
    const path = join(temporaryDirectory(), 'duplex')
    const listener = closeAfterTest(await listen(path, UDS_COMMS))
    duplexPeer = once(listener, 'connection').then(([channel]) => channel)
    return path
  }
})
