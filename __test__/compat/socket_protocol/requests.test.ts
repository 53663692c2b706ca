import { once } from 'node:events'
/**
 * Requests in flight, reconnection, floods of requests and channel names, over an in-memory
 * transport.
 */
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import {
  Link,
  protocolPair,
  RawPeer,
  recordingLogger,
  serverWithRawClient,
  settle,
} from '../../support/socket_protocol.js'

const { SID_READ_REQUEST: READ, SID_READ_RESPONSE: READ_RESPONSE, SID_WRITE_REQUEST: WRITE } = sp

/** Returns a client and a raw peer that is connected to it as the server and has read its name. */
async function clientWithRawServer(options: sp.ProtocolOptions = {}) {
  const link = new Link()
  const peer = new RawPeer(link.server)
  const client = new sp.PureJsonProtocol(link.client, options)
  link.up()
  expect(await peer.receive()).toMatchObject({ service_id: sp.SID_CHANNEL_NAME_REQUEST })
  return { link, peer, client }
}

/** Returns a promise and the function that resolves it. */
function deferred<T = void>() {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>(settle => {
    resolve = settle
  })
  return { promise, resolve }
}

const dataOf = (message: sp.DataStorage) => message.getData()

describe('requests in flight', () => {
  it('for the same service and datum are processed one after another', async () => {
    const { client, server } = protocolPair()
    let running = 0
    server.registerCallback(READ, 0, async message => {
      expect(++running).toBe(1)
      for (let i = 0; i < 5 - message.getData(); i++) await settle()
      running--
      return [0, message.getData()]
    })
    const all = await Promise.all([0, 1, 2, 3, 4].map(n => client.request(READ, 0, n)))
    expect(all.map(dataOf)).toEqual([0, 1, 2, 3, 4])
  })

  it('for different data or services are processed concurrently', async () => {
    const { client, server } = protocolPair()
    const slow = deferred()
    server.registerCallback(READ, 0, () => slow.promise.then(() => [0, 'slow']))
    server.registerCallback(READ, 1, () => [0, 'fast'])
    server.registerCallback(WRITE, 0, () => [0, 'other'])
    const pending = client.request(READ, 0)
    expect(dataOf(await client.request(READ, 1))).toBe('fast')
    expect(dataOf(await client.request(WRITE, 0))).toBe('other')
    slow.resolve()
    expect(dataOf(await pending)).toBe('slow')
  })

  it('are matched in order among sends, whose responses go to the callbacks', async () => {
    const { client, server } = protocolPair()
    server.registerCallback(READ, 0, message => [0, message.getData()])
    const received: unknown[] = []
    client.registerCallback(READ_RESPONSE, 0, message => received.push(message.getData()))
    await client.send(READ, 0, 'sent 1')
    const first = client.request(READ, 0, 'requested 1')
    await client.send(READ, 0, 'sent 2')
    await client.send(READ, 0, 'sent 3')
    const second = client.request(READ, 0, 'requested 2')
    expect([dataOf(await first), dataOf(await second)]).toEqual(['requested 1', 'requested 2'])
    expect(received).toEqual(['sent 1', 'sent 2', 'sent 3'])
  })

  it('that were aborted keep their place: their late responses are dropped', async () => {
    const { peer, client } = await clientWithRawServer()
    const controller = new AbortController()
    const first = client.request(READ, 0, 1, { timeout: 5 })
    const second = client.request(READ, 0, 2, { signal: controller.signal })
    const third = client.request(READ, 0, 3)
    await expect(first).rejects.toHaveProperty('code', 'ERR_FDWIRE_TIMEOUT')
    controller.abort('reason')
    await expect(second).rejects.toMatchObject({ name: 'AbortError', cause: 'reason' })
    for (const n of [1, 2, 3]) peer.send(READ_RESPONSE, 0, n)
    expect(dataOf(await third)).toBe(3)
    expect(client.stats).toMatchObject({ lateResponses: 2, requests: 0 })
  })

  it('are limited by maxRequests: later requests and sends wait in order', async () => {
    const { peer, client } = await clientWithRawServer({ maxRequests: 2 })
    const requests = [0, 1, 2, 3].map(did => client.request(READ, did, did))
    const sent = client.send(99, 0, 'after the requests')
    await expect(client.request(READ, 4, null, { timeout: 5 })).rejects.toMatchObject({
      code: 'ERR_FDWIRE_TIMEOUT',
      message:
        'request: it waited for earlier messages (maxRequests: 2) and was not sent within 5 ms',
    })
    await settle()
    expect([peer.unread, client.stats.requests]).toEqual([2, 2])
    for (const did of [0, 1, 2, 3]) {
      expect((await peer.receive()).data).toBe(did)
      peer.send(READ_RESPONSE, did, did)
    }
    expect((await Promise.all(requests)).map(dataOf)).toEqual([0, 1, 2, 3])
    expect([await sent, (await peer.receive()).data]).toEqual([true, 'after the requests'])
  })

  it('are rejected when the connection ends, and are not sent again', async () => {
    const { link, peer, client } = await clientWithRawServer()
    const waiting = [client.request(READ, 0, 1), client.request(READ, 0, 2, { timeout: 10_000 })]
    await settle()
    expect(peer.unread).toBe(2)
    link.down()
    for (const request of waiting)
      await expect(request).rejects.toMatchObject({ code: 'ERR_FDWIRE_PEER_CLOSED', fault: 'peer' })
    const next = client.request(READ, 0, 3)
    link.up()
    await settle()
    expect(peer.unread).toBe(4) // the name and one request besides the two from before
    peer.send(READ_RESPONSE, 0, 'third')
    expect(dataOf(await next)).toBe('third')
  })

  it('are forgotten if the transport throws', async () => {
    const { link, peer, client } = await clientWithRawServer()
    const { send } = link.client
    link.client.send = () => {
      throw new Error('too large for a datagram')
    }
    await expect(client.request(READ, 0, 1)).rejects.toThrow('too large')
    await expect(client.send(READ, 0, 2)).rejects.toThrow('too large')
    link.client.send = send
    const waiting = client.request(READ, 0, 3)
    peer.send(READ_RESPONSE, 0, 'third response')
    expect(dataOf(await waiting)).toBe('third response')
  })
})

describe('the connection of a Protocol', () => {
  it('is awaited by send in order, which resolves to false at the timeout', async () => {
    const link = new Link()
    const peer = new RawPeer(link.server)
    const client = new sp.PureJsonProtocol(link.client)
    expect(await client.send(READ, 0, 'too early', { timeout: 5 })).toBe(false)
    const sent = [1, 2, 3].map(n => client.send(READ, 0, n))
    expect([client.isConnected(), client.connectionEstablished()]).toEqual([false, false])
    link.up()
    expect(await Promise.all(sent)).toEqual([true, true, true])
    await settle()
    const received = await Promise.all([1, 2, 3, 4].map(() => peer.receive()))
    expect(received.map(({ data }) => data)).toEqual([null, 1, 2, 3])
    expect([client.isConnected(), client.connectionEstablished()]).toEqual([true, true])
  })

  it('is awaited by request, which rejects at the timeout or signal', async () => {
    const { client } = protocolPair()
    const link = new Link()
    const disconnected = new sp.PureJsonProtocol(link.client)
    await expect(disconnected.request(READ, 0, null, { timeout: 5 })).rejects.toMatchObject({
      code: 'ERR_FDWIRE_TIMEOUT',
      message: 'request: no connection was made within 5 ms',
    })
    const signal = AbortSignal.timeout(5)
    await expect(disconnected.request(READ, 0, null, { signal })).rejects.toHaveProperty(
      'name',
      'AbortError',
    )
    expect(client.stats.requests).toBe(0)
  })

  it('gets no response to a request of an earlier connection', async () => {
    const { link, client, server } = protocolPair()
    const slow = deferred()
    const requested: unknown[] = []
    server.registerCallback(READ, 0, async message => {
      requested.push(message.getData())
      if (message.getData() === 'old') await slow.promise
      return [0, message.getData()]
    })
    const old = [client.request(READ, 0, 'old'), client.request(READ, 0, 'old too')]
    await settle()
    link.down()
    for (const request of old)
      await expect(request).rejects.toMatchObject({ code: 'ERR_FDWIRE_PEER_CLOSED', fault: 'peer' })
    link.up()
    const next = client.request(READ, 0, 'new')
    await settle()
    // The callback of the old request still runs, so the new one waits. 'old too' is dropped.
    expect(requested).toEqual(['old'])
    slow.resolve()
    expect(dataOf(await next)).toBe('new')
    expect(requested).toEqual(['old', 'new'])
  })

  it('exists at once if the transport is already connected', async () => {
    const link = new Link()
    link.up()
    const server = new sp.PureJsonProtocol(link.server)
    server.registerCallback(READ, 0, () => [0, 'here'])
    const client = new sp.PureJsonProtocol(link.client)
    expect(dataOf(await client.request(READ, 0))).toBe('here')
  })

  it('is renewed by the transport when reconnect is called', async () => {
    const { link, client } = protocolPair()
    expect(await client.reconnect()).toBe(false)
    expect([link.client.reconnects, link.isUp]).toEqual([1, false])
  })
})

describe('Protocol.close', () => {
  it('settles all pending calls and makes later ones fail', async () => {
    const { client } = protocolPair()
    const waiting = [
      client.receive(99, 0, { timeout: 0 }),
      client.request(READ, 5).catch(error => error.code),
    ]
    await client.close()
    expect(await Promise.all(waiting)).toEqual([null, 'ERR_FDWIRE_CLOSED'])
    expect(await client.send(READ, 0)).toBe(false)
    await expect(client.request(READ, 0)).rejects.toHaveProperty('code', 'ERR_FDWIRE_CLOSED')
    expect(client.close()).toBe(client.close())
    await client[Symbol.asyncDispose]()
  })
})

describe('a flood of requests', () => {
  it('is held back while callbacks are slow, and is then answered completely', async () => {
    const { link, client, server } = protocolPair()
    const slow = deferred()
    let count = 0
    server.registerCallback(READ, 0, async () => {
      await slow.promise
      return [0, count++]
    })
    const all = Array.from({ length: 3_000 }, () => client.request(READ, 0))
    await settle()
    expect(link.server.pending).toBeGreaterThan(500)
    slow.resolve()
    expect((await Promise.all(all)).map(dataOf)).toEqual(all.map((_, n) => n))
  })

  it('is not held back while a callback waits for a response that follows it', async () => {
    const { link, client, server } = protocolPair()
    client.registerCallback(READ, 7, () => [0, 'from the client'])
    let response: Promise<sp.DataStorage> | undefined
    server.registerCallback(READ, 0, async message => {
      response ??= server.request(READ, 7)
      return [0, [message.getData(), (await response).getData()]]
    })
    const all = Array.from({ length: 2_000 }, (_, n) => client.request(READ, 0, n))
    const responses = await Promise.all(all)
    expect(responses.map(dataOf)).toEqual(all.map((_, n) => [n, 'from the client']))
    expect(link.isUp).toBe(true)
  })

  it('is answered completely in both directions at once', async () => {
    const { link, client, server } = protocolPair()
    for (const side of [client, server])
      side.registerCallback(READ, 0, message => [0, message.getData()])
    const numbers = Array.from({ length: 6_000 }, (_, n) => n)
    const all = [client, server].flatMap(side => numbers.map(n => side.request(READ, 0, n)))
    expect((await Promise.all(all)).map(dataOf)).toEqual([...numbers, ...numbers])
    expect(link.isUp).toBe(true)
  })

  it('by send does not end the connection while receive is pending', async () => {
    const { link, client, server } = protocolPair()
    let count = 0
    server.registerCallback(WRITE, 0, async () => {
      await settle()
      return [0, ++count]
    })
    const waiting = server.receive(98, 0, { timeout: 0 })
    const sent = Array.from({ length: 600 }, () => client.send(WRITE, 0))
    expect((await Promise.all(sent)).every(Boolean)).toBe(true)
    await client.send(98, 0, 'after the flood')
    expect((await waiting)?.getData()).toBe('after the flood')
    expect(link.isUp).toBe(true)
  })

  it('beyond maxWaiting ends the connection', async () => {
    const logger = recordingLogger()
    const { link, peer, server } = serverWithRawClient({ logger, maxWaiting: 100 })
    const disconnected = once(server, 'disconnect')
    server.registerCallback(READ, 0, () => new Promise(() => {}))
    server.receive(98, 0, { timeout: 0 }).catch(() => {}) // keeps the server reading
    for (let i = 0; i < 200; i++) peer.send(READ, 0, i)
    await expect.poll(() => link.isUp, { timeout: 5_000 }).toBe(false)
    expect(link.server.reconnects).toBe(1)
    expect(logger.lines.join()).toContain("The peer's requests exceed maxWaiting (100)")
    expect(await disconnected).toEqual([
      expect.objectContaining({ code: 'ERR_FDWIRE_QUEUE_FULL', fault: 'peer' }),
    ])
    await server.close()
  })

  it('beyond maxWaitingBytes ends the connection', async () => {
    const { link, peer, server } = serverWithRawClient({ maxWaitingBytes: 10_000 })
    server.registerCallback(READ, 0, () => new Promise(() => {}))
    server.receive(98, 0, { timeout: 0 }).catch(() => {})
    for (let i = 0; i < 20; i++) peer.send(READ, 0, 'x'.repeat(1_000))
    await expect.poll(() => link.isUp, { timeout: 5_000 }).toBe(false)
    await server.close()
  })
})

describe('channel names of socket_protocol', () => {
  /** Returns a connected client and server with these names. */
  function withNames(client: string | null, server: string | null) {
    const link = new Link()
    const logger = recordingLogger()
    const ends = {
      client: new sp.PureJsonProtocol(link.client, { channelName: client }),
      server: new sp.PureJsonProtocol(link.server, { channelName: server, logger }),
    }
    link.up()
    return { ...ends, link, logger }
  }

  it.each([
    ['first', 'second', 'first'],
    ['first', null, 'first'],
    [null, 'second', 'second'],
    [null, null, null],
    ['same', 'same', 'same'],
  ])('agree for client %j and server %j on %j', async (first, second, agreed) => {
    const { client, server, link, logger } = withNames(first, second)
    await settle()
    expect([client.channelName, server.channelName]).toEqual([agreed, agreed])
    expect([link.client.channelNames.at(-1), link.server.channelNames.at(-1)]).toEqual([
      agreed,
      agreed,
    ])
    const warned = logger.lines.filter(line => line.startsWith('warn'))
    expect(warned).toHaveLength(first !== null && second !== null && first !== second ? 1 : 0)
  })

  it.each([
    ['a number', 7],
    ['an empty string', ''],
    ['an object', {}],
    ['a string of 257 characters', 'x'.repeat(257)],
    ['true', true],
  ])('exclude %s', async (_, name) => {
    const { peer, server } = serverWithRawClient({ channelName: 'kept' })
    expect(await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 0, name)).toMatchObject({
      service_id: sp.SID_CHANNEL_NAME_RESPONSE,
      status: sp.STATUS_OPERATION_NOT_PERMITTED,
      data: null,
    })
    expect(await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 1, 'unknown datum')).toMatchObject({
      status: sp.STATUS_OPERATION_NOT_PERMITTED,
    })
    expect(server.channelName).toBe('kept')
  })

  it('are not taken from an unsolicited response', async () => {
    const { peer, server } = serverWithRawClient()
    peer.send(sp.SID_CHANNEL_NAME_RESPONSE, 0, 'intruder')
    await settle()
    expect(server.channelName).toBe(null)
  })

  it('cannot forge a log line with a line feed', async () => {
    const logger = recordingLogger()
    const { peer } = serverWithRawClient({ logger, channelName: 'x' })
    await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 0, 'a\nforged: line')
    expect(logger.lines.some(line => line.includes('\n'))).toBe(false)
  })
})
