/** Requests under way, connections that come and go, and peers that flood, over memory. */
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import { Link, RawPeer, recordingLogger, settle } from '../../support/socket_protocol.js'

const { SID_READ_REQUEST: READ, SID_READ_RESPONSE: READ_RESPONSE, SID_WRITE_REQUEST: WRITE } = sp

function connected(options: sp.ProtocolOptions = {}) {
  const link = new Link()
  const client = new sp.PureJsonProtocol(link.client)
  const server = new sp.PureJsonProtocol(link.server, options)
  link.up()
  return { link, client, server }
}

/** A client of ours, and a server without manners, which has read the client's greeting. */
async function toRudeServer(options: sp.ProtocolOptions = {}) {
  const link = new Link()
  const peer = new RawPeer(link.server)
  const client = new sp.PureJsonProtocol(link.client, options)
  link.up()
  expect(await peer.receive()).toMatchObject({ service_id: sp.SID_CHANNEL_NAME_REQUEST })
  return { link, peer, client }
}

/** A promise that somebody else settles. */
function later<T = void>() {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>(settle => {
    resolve = settle
  })
  return { promise, resolve }
}

const dataOf = (message: sp.DataStorage) => message.getData()

describe('requests under way', () => {
  it('of one service and datum are answered one after another, in their order', async () => {
    const { client, server } = connected()
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

  it('of different ones do not wait for each other', async () => {
    const { client, server } = connected()
    const slow = later()
    server.registerCallback(READ, 0, () => slow.promise.then(() => [0, 'slow']))
    server.registerCallback(READ, 1, () => [0, 'fast'])
    server.registerCallback(WRITE, 0, () => [0, 'other'])
    const waiting = client.request(READ, 0)
    expect(dataOf(await client.request(READ, 1))).toBe('fast')
    expect(dataOf(await client.request(WRITE, 0))).toBe('other')
    slow.resolve()
    expect(dataOf(await waiting)).toBe('slow')
  })

  it('are matched by order beside plain sends, whose responses go the ordinary way', async () => {
    const { client, server } = connected()
    server.registerCallback(READ, 0, message => [0, message.getData()])
    const ordinary: unknown[] = []
    client.registerCallback(READ_RESPONSE, 0, message => ordinary.push(message.getData()))
    await client.send(READ, 0, 'sent 1')
    const first = client.request(READ, 0, 'asked 1')
    await client.send(READ, 0, 'sent 2')
    await client.send(READ, 0, 'sent 3')
    const second = client.request(READ, 0, 'asked 2')
    expect([dataOf(await first), dataOf(await second)]).toEqual(['asked 1', 'asked 2'])
    expect(ordinary).toEqual(['sent 1', 'sent 2', 'sent 3'])
  })

  it('that were given up keep their place: their late answers are dropped', async () => {
    const { peer, client } = await toRudeServer()
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

  it('are no more than may be: others wait for their turn, with what is sent behind them', async () => {
    const { peer, client } = await toRudeServer({ maxRequests: 2 })
    const asked = [0, 1, 2, 3].map(did => client.request(READ, did, did))
    const sent = client.send(99, 0, 'behind')
    await expect(client.request(READ, 4, null, { timeout: 5 })).rejects.toMatchObject({
      code: 'ERR_FDWIRE_TIMEOUT',
      message: 'request: its turn did not come within 5 ms',
    })
    await settle()
    expect([peer.unread, client.stats.requests]).toEqual([2, 2])
    for (const did of [0, 1, 2, 3]) {
      expect((await peer.receive()).data).toBe(did)
      peer.send(READ_RESPONSE, did, did)
    }
    expect((await Promise.all(asked)).map(dataOf)).toEqual([0, 1, 2, 3])
    expect([await sent, (await peer.receive()).data]).toEqual([true, 'behind'])
  })

  it('are all rejected when the connection ends, and nothing is sent a second time', async () => {
    const { link, peer, client } = await toRudeServer()
    const waiting = [client.request(READ, 0, 1), client.request(READ, 0, 2, { timeout: 10_000 })]
    await settle()
    expect(peer.unread).toBe(2)
    link.down()
    for (const one of waiting) await expect(one).rejects.toHaveProperty('code', 'ERR_FDWIRE_CLOSED')
    const next = client.request(READ, 0, 3)
    link.up()
    await settle()
    expect(peer.unread).toBe(4) // the greeting, and one request
    peer.send(READ_RESPONSE, 0, 'third')
    expect(dataOf(await next)).toBe('third')
  })

  it('whose transport refuses them leave no place behind', async () => {
    const { link, peer, client } = await toRudeServer()
    const { send } = link.client
    link.client.send = () => {
      throw new Error('too large for a datagram')
    }
    await expect(client.request(READ, 0, 1)).rejects.toThrow('too large')
    await expect(client.send(READ, 0, 2)).rejects.toThrow('too large')
    link.client.send = send
    const waiting = client.request(READ, 0, 3)
    peer.send(READ_RESPONSE, 0, 'the third')
    expect(dataOf(await waiting)).toBe('the third')
  })
})

describe('without a connection', () => {
  it('send waits for one, in the order of the calls, and is false at its timeout', async () => {
    const link = new Link()
    const peer = new RawPeer(link.server)
    const client = new sp.PureJsonProtocol(link.client)
    expect(await client.send(READ, 0, 'too early', { timeout: 5 })).toBe(false)
    const sent = [1, 2, 3].map(n => client.send(READ, 0, n))
    expect([client.isConnected(), client.connectionEstablished()]).toEqual([false, false])
    link.up()
    expect(await Promise.all(sent)).toEqual([true, true, true])
    await settle()
    const heard = await Promise.all([1, 2, 3, 4].map(() => peer.receive()))
    expect(heard.map(({ data }) => data)).toEqual([null, 1, 2, 3])
    expect([client.isConnected(), client.connectionEstablished()]).toEqual([true, true])
  })

  it('request waits for one as well, and says so when there is none', async () => {
    const { client } = connected()
    const link = new Link()
    const lonely = new sp.PureJsonProtocol(link.client)
    await expect(lonely.request(READ, 0, null, { timeout: 5 })).rejects.toMatchObject({
      code: 'ERR_FDWIRE_TIMEOUT',
      message: 'request: there was no connection within 5 ms',
    })
    const signal = AbortSignal.timeout(5)
    await expect(lonely.request(READ, 0, null, { signal })).rejects.toHaveProperty(
      'name',
      'AbortError',
    )
    expect(client.stats.requests).toBe(0)
  })

  it('an answer whose connection is gone goes nowhere, and least of all to the next one', async () => {
    const { link, client, server } = connected()
    const slow = later()
    const asked: unknown[] = []
    server.registerCallback(READ, 0, async message => {
      asked.push(message.getData())
      if (message.getData() === 'old') await slow.promise
      return [0, message.getData()]
    })
    const old = [client.request(READ, 0, 'old'), client.request(READ, 0, 'old too')]
    await settle()
    link.down()
    for (const one of old) await expect(one).rejects.toHaveProperty('code', 'ERR_FDWIRE_CLOSED')
    link.up()
    const next = client.request(READ, 0, 'new')
    await settle()
    // One callback of a datum runs at a time, also then; what only waited is not called any more.
    expect(asked).toEqual(['old'])
    slow.resolve()
    expect(dataOf(await next)).toBe('new')
    expect(asked).toEqual(['old', 'new'])
  })

  it('a transport that has one already is used at once', async () => {
    const link = new Link()
    link.up()
    const server = new sp.PureJsonProtocol(link.server)
    server.registerCallback(READ, 0, () => [0, 'here'])
    const client = new sp.PureJsonProtocol(link.client)
    expect(dataOf(await client.request(READ, 0))).toBe('here')
  })

  it('reconnect asks the transport for one', async () => {
    const { link, client } = connected()
    expect(await client.reconnect()).toBe(false)
    expect([link.client.reconnects, link.isUp]).toEqual([1, false])
  })
})

describe('close', () => {
  it('ends all that waits, and nothing can be done any more', async () => {
    const { client } = connected()
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
  it('is held back while callbacks are slow, and then worked off whole', async () => {
    const { link, client, server } = connected()
    const slow = later()
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

  it('is not held back while we wait for an answer, which stands behind it', async () => {
    const { link, client, server } = connected()
    client.registerCallback(READ, 7, () => [0, 'from the client'])
    let asked: Promise<sp.DataStorage> | undefined
    server.registerCallback(READ, 0, async message => {
      asked ??= server.request(READ, 7)
      return [0, [message.getData(), (await asked).getData()]]
    })
    const all = Array.from({ length: 2_000 }, (_, n) => client.request(READ, 0, n))
    const answers = await Promise.all(all)
    expect(answers.map(dataOf)).toEqual(all.map((_, n) => [n, 'from the client']))
    expect(link.isUp).toBe(true)
  })

  it('goes both ways at once, as large as it likes', async () => {
    const { link, client, server } = connected()
    for (const side of [client, server]) side.registerCallback(READ, 0, one => [0, one.getData()])
    const numbers = Array.from({ length: 6_000 }, (_, n) => n)
    const all = [client, server].flatMap(side => numbers.map(n => side.request(READ, 0, n)))
    expect((await Promise.all(all)).map(dataOf)).toEqual([...numbers, ...numbers])
    expect(link.isUp).toBe(true)
  })

  it('of plain sends does not end the connection either, though we wait for the peer', async () => {
    const { link, client, server } = connected()
    let count = 0
    server.registerCallback(WRITE, 0, async () => {
      await settle()
      return [0, ++count]
    })
    const waiting = server.receive(98, 0, { timeout: 0 })
    const sent = Array.from({ length: 600 }, () => client.send(WRITE, 0))
    expect((await Promise.all(sent)).every(Boolean)).toBe(true)
    await client.send(98, 0, 'behind all of them')
    expect((await waiting)?.getData()).toBe('behind all of them')
    expect(link.isUp).toBe(true)
  })

  it('that cannot be held back for ever ends the connection', async () => {
    const logger = recordingLogger()
    const { link, peer, server } = rude({ logger, maxWaiting: 100 })
    server.registerCallback(READ, 0, () => new Promise(() => {}))
    server.receive(98, 0, { timeout: 0 }).catch(() => {}) // so that it is not held back
    for (let i = 0; i < 200; i++) peer.send(READ, 0, i)
    await expect.poll(() => link.isUp, { timeout: 5_000 }).toBe(false)
    expect(link.server.reconnects).toBe(1)
    expect(logger.lines.join()).toContain('more requests wait than are allowed')
    await server.close()
  })

  it('is bounded by its bytes as well', async () => {
    const { link, peer, server } = rude({ maxWaitingBytes: 10_000 })
    server.registerCallback(READ, 0, () => new Promise(() => {}))
    server.receive(98, 0, { timeout: 0 }).catch(() => {})
    for (let i = 0; i < 20; i++) peer.send(READ, 0, 'x'.repeat(1_000))
    await expect.poll(() => link.isUp, { timeout: 5_000 }).toBe(false)
    await server.close()
  })
})

describe('channel names', () => {
  function named(client: string | null, server: string | null) {
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
    ['theirs', 'ours', 'theirs'],
    ['theirs', null, 'theirs'],
    [null, 'ours', 'ours'],
    [null, null, null],
    ['same', 'same', 'same'],
  ])("client %j, server %j: %j, the client's first", async (first, second, agreed) => {
    const { client, server, link, logger } = named(first, second)
    await settle()
    expect([client.channelName, server.channelName]).toEqual([agreed, agreed])
    expect([link.client.channelNames.at(-1), link.server.channelNames.at(-1)]).toEqual([
      agreed,
      agreed,
    ])
    const warned = logger.lines.filter(line => line.startsWith('warn'))
    expect(warned).toHaveLength(first !== null && second !== null && first !== second ? 1 : 0)
  })

  it.each([7, '', {}, 'x'.repeat(257), true])('a name that is %j is refused', async name => {
    const { peer, server } = rude({ channelName: 'kept' })
    expect(await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 0, name)).toMatchObject({
      service_id: sp.SID_CHANNEL_NAME_RESPONSE,
      status: sp.STATUS_OPERATION_NOT_PERMITTED,
      data: null,
    })
    expect(await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 1, 'no such datum')).toMatchObject({
      status: sp.STATUS_OPERATION_NOT_PERMITTED,
    })
    expect(server.channelName).toBe('kept')
  })

  it('one that nobody asked for is not taken', async () => {
    const { peer, server } = rude()
    peer.send(sp.SID_CHANNEL_NAME_RESPONSE, 0, 'intruder')
    await settle()
    expect(server.channelName).toBe(null)
  })

  it('breaks no line of a log', async () => {
    const logger = recordingLogger()
    const { peer } = rude({ logger, channelName: 'x' })
    await peer.request(sp.SID_CHANNEL_NAME_REQUEST, 0, 'a\nforged: line')
    expect(logger.lines.some(line => line.includes('\n'))).toBe(false)
  })
})

/** A server of ours, and a client without manners. */
function rude(options: sp.ProtocolOptions = {}) {
  const link = new Link()
  const peer = new RawPeer(link.client)
  const server = new sp.PureJsonProtocol(link.server, options)
  link.up()
  return { link, peer, server }
}
