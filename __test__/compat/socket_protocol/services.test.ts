/** Services, callbacks and buffers, over a transport in memory. */
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import { Link, RawPeer, recordingLogger, settle } from '../../support/socket_protocol.js'

const { SID_READ_REQUEST: READ, SID_READ_RESPONSE: READ_RESPONSE } = sp
const { SID_EXECUTE_REQUEST: EXECUTE, SID_EXECUTE_RESPONSE: EXECUTE_RESPONSE } = sp

function connected(
  options: sp.ProtocolOptions = {},
  Protocol: typeof sp.PureJsonProtocol = sp.PureJsonProtocol,
) {
  const link = new Link()
  const client = new Protocol(link.client)
  const server = new Protocol(link.server, options)
  link.up()
  return { link, client, server }
}

/** A peer without manners as the client of a server of ours. */
function rude(options: sp.ProtocolOptions = {}) {
  const link = new Link()
  const peer = new RawPeer(link.client)
  const server = new sp.PureJsonProtocol(link.server, options)
  link.up()
  return { link, peer, server }
}

const parts = (message: sp.DataStorage | null) => [message?.getStatus(), message?.getData()]

describe('a request', () => {
  it.each([sp.PureJsonProtocol, sp.StructJsonProtocol])(
    'is answered with the response id and the same data id (%o)',
    async Protocol => {
      const { client, server } = connected({}, Protocol)
      server.registerCallback(READ, 7, message => [sp.STATUS_OKAY, [message.getData(), 'é']])
      const response = await client.request(READ, 7, { asked: true })
      expect(response.toJSON()).toEqual({
        status: 0,
        service_id: READ_RESPONSE,
        data_id: 7,
        data: [{ asked: true }, 'é'],
      })
    },
  )

  it('goes to the most specific callback', async () => {
    const { client, server } = connected()
    const say = (_: sp.DataStorage, who: string) => [sp.STATUS_OKAY, who]
    const ask = async (sid: number, did: number) => (await client.request(sid, did)).getData()
    server.registerCallback(null, null, say, 'any, any')
    expect(await ask(READ, 1)).toBe('any, any')
    server.registerCallback(null, 1, say, 'any, 1')
    expect([await ask(READ, 1), await ask(READ, 2)]).toEqual(['any, 1', 'any, any'])
    server.registerCallback(READ, null, say, 'read, any')
    expect([await ask(READ, 1), await ask(EXECUTE, 1)]).toEqual(['read, any', 'any, 1'])
    server.registerCallback(READ, 1, say, 'read, 1')
    expect([await ask(READ, 1), await ask(READ, 2)]).toEqual(['read, 1', 'read, any'])
  })

  it('brings the callback its extra arguments', async () => {
    const { client, server } = connected()
    const add = (message: sp.DataStorage, a: number, b: { c: number }) => [
      0,
      message.getData() + a + b.c,
    ]
    server.registerCallback(EXECUTE, 0, add, 20, { c: 300 })
    expect((await client.request(EXECUTE, 0, 1)).getData()).toBe(321)
  })

  it('of a service of your own works likewise, and its ids are taken then', async () => {
    const { client, server } = connected()
    for (const side of [client, server]) side.addService(40, 41, 'alarm request', 'alarm response')
    server.registerCallback(40, 0, async () => [77, 'ringing'])
    expect((await client.request(40, 0)).toJSON()).toMatchObject({ status: 77, service_id: 41 })
    expect(() => server.addService(40, 43)).toThrow(sp.RequestSidExistsError)
    expect(() => server.addService(42, 41)).toThrow(sp.ResponseSidExistsError)
    expect(() => server.addService(41, 43)).toThrow(sp.RequestSidExistsError)
    expect(() => server.addService(50, 50)).toThrow(sp.ResponseSidExistsError)
    expect(() => server.addService(sp.SID_AUTH_REQUEST, 99)).toThrow(sp.RequestSidExistsError)
    expect(() => server.addService(READ, READ_RESPONSE)).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_SID_EXISTS' }),
    )
  })

  it('of something that is no service has no answer, and no response can be waited for', async () => {
    const { client, server, link } = connected()
    server.registerCallback(60, 0, () => [0, 'nobody gets this'])
    await client.send(60, 0)
    await settle()
    expect(server.stats.sent).toBe(1) // the channel's name
    await expect(client.request(60, 0)).rejects.toThrow(RangeError)
    expect(link.isUp).toBe(true)
  })
})

describe('what comes of a callback that', () => {
  const cyclic: unknown[] = []
  cyclic.push(cyclic)
  const bad: [string, () => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
    [
      'throws what has no text',
      () => {
        throw Object.create(null)
      },
    ],
    ['returns nothing', () => undefined],
    ['returns a number', () => 0],
    ['returns an empty array', () => []],
    ['returns a status that is none', () => ['okay', 1]],
    ['returns a status below zero', () => [-1, 1]],
    ['returns three things', () => [0, 1, 2]],
    ['returns a BigInt', () => [0, 1n]],
    ['returns a cycle', () => [0, cyclic]],
    ['returns a function', () => [0, () => {}]],
  ]
  it.each(bad)('%s: STATUS_CALLBACK_ERROR, and the next request is served', async (_, callback) => {
    const { client, server } = connected()
    server.registerCallback(READ, 0, callback).registerCallback(READ, 1, () => [0, 'fine'])
    expect(parts(await client.request(READ, 0))).toEqual([sp.STATUS_CALLBACK_ERROR, null])
    expect(parts(await client.request(READ, 0))).toEqual([sp.STATUS_CALLBACK_ERROR, null])
    expect(parts(await client.request(READ, 1))).toEqual([0, 'fine'])
  })

  it('throws an error about the data leaves none of it in the log', async () => {
    const logger = recordingLogger()
    const { client, server } = connected({ logger })
    server.registerCallback(READ, 0, message => [0, JSON.parse(message.getData() as string)])
    expect((await client.request(READ, 0, 'PASSWORD-123')).getStatus()).toBe(
      sp.STATUS_CALLBACK_ERROR,
    )
    const [line] = logger.lines.filter(line => line.includes('the callback failed'))
    expect(line).toMatch(/SyntaxError at JSON\.parse/)
    expect(logger.lines.join()).not.toContain('PASSWORD')
  })

  it('returns a status alone: there is no data', async () => {
    const { client, server } = connected()
    server.registerCallback(READ, 0, () => [sp.STATUS_OPERATION_NOT_PERMITTED])
    server.registerCallback(READ, 1, () => [sp.STATUS_OKAY, undefined])
    expect(parts(await client.request(READ, 0))).toEqual([6, null])
    expect(parts(await client.request(READ, 1))).toEqual([0, null])
  })

  it('is none: a TypeError; nor can the services of the protocol have one', () => {
    const { server } = connected()
    for (const none of [undefined, null, 1, 'f']) {
      expect(() => server.registerCallback(READ, 0, none as never)).toThrow(TypeError)
    }
    for (const own of [0, 1, 8, 9]) {
      expect(() => server.registerCallback(own, 0, () => [0])).toThrow(RangeError)
    }
    expect(() => server.registerCallback('10' as never, 0, () => [0])).toThrow(TypeError)
    expect(() => server.registerCallback(READ, -1, () => [0])).toThrow(RangeError)
  })
})

describe('a request without a callback', () => {
  it('is answered with status 1, and waits for receive', async () => {
    const { client, server } = connected()
    expect(parts(await client.request(EXECUTE, 3, 'later'))).toEqual([
      sp.STATUS_BUFFERING_UNHANDLED_REQUEST,
      null,
    ])
    const message = await server.receive(EXECUTE, 3)
    expect(message?.toJSON()).toEqual({
      status: 0,
      service_id: EXECUTE,
      data_id: 3,
      data: 'later',
    })
    expect(await server.receive(EXECUTE, 3, { timeout: 1 })).toBe(null)
  })

  it('goes to who waits for it already, in the order of the calls', async () => {
    const { client, server } = connected()
    const waiting = [server.receive(READ, 0), server.receive(READ, 0), server.receive(READ, 1)]
    for (const [did, data] of [
      [0, 'first'],
      [1, 'other'],
      [0, 'second'],
    ] as const) {
      await client.send(READ, did, data)
    }
    const got = await Promise.all(waiting)
    expect(got.map(message => message?.getData())).toEqual(['first', 'second', 'other'])
  })

  it('for data that the service does not have is answered with status 4, and kept by nobody', async () => {
    const { client, server } = connected()
    server.addData([READ, EXECUTE], 1, 'temperature')
    expect(parts(await client.request(READ, 2))).toEqual([sp.STATUS_SERVICE_OR_DATA_UNKNOWN, null])
    expect(parts(await client.request(READ, 1))).toEqual([
      sp.STATUS_BUFFERING_UNHANDLED_REQUEST,
      null,
    ])
    expect(server.stats.buffered).toBe(1)
  })
})

describe('receive', () => {
  it('gives null at its timeout, and rejects when it is aborted', async () => {
    const { server } = connected()
    expect(await server.receive(READ, 0, { timeout: 5 })).toBe(null)
    const controller = new AbortController()
    const waiting = server.receive(READ, 0, { timeout: 0, signal: controller.signal })
    controller.abort('enough')
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError', cause: 'enough' })
    const signal = AbortSignal.abort()
    await expect(server.receive(READ, 0, { signal })).rejects.toHaveProperty('name', 'AbortError')
  })

  it('gets a response that send has caused, and a message of no service', async () => {
    const { client, server } = connected()
    server.registerCallback(READ, 0, () => [0, 'answer'])
    expect(await client.send(READ, 0)).toBe(true)
    expect((await client.receive(READ_RESPONSE, 0))?.getData()).toBe('answer')
    expect(await server.send(99, 5, 'news', { status: 42 })).toBe(true)
    expect((await client.receive(99, 5))?.toJSON()).toMatchObject({ status: 42, data: 'news' })
  })

  it('keeps 64 messages of a sort and 1,024 in all, and drops the oldest', async () => {
    const { peer, server } = rude()
    const dropped: unknown[] = []
    server.on('dropped', message => dropped.push([message.getDataId(), message.getData()]))
    for (let i = 0; i < 66; i++) peer.send(99, 0, i)
    await settle()
    expect([server.stats.buffered, dropped]).toEqual([
      64,
      [
        [0, 0],
        [0, 1],
      ],
    ])
    expect((await server.receive(99, 0))?.getData()).toBe(2)
    for (let i = 0; i < 1_000; i++) peer.send(99, 1 + (i % 100), i)
    await settle()
    expect(server.stats).toMatchObject({ buffered: 1_024, dropped: 2 + 39 })
    expect((await server.receive(99, 0))?.getData()).toBe(2 + 1 + 39)
  })

  it('keeps no more bytes than it may', async () => {
    const { peer, server } = rude({ maxBufferedBytes: 1_000 })
    for (let i = 0; i < 10; i++) peer.send(99, i, 'x'.repeat(300))
    await settle()
    expect(server.stats).toMatchObject({ buffered: 2, dropped: 8 })
    // One that is too large alone gets its place, alone.
    peer.send(99, 50, 'x'.repeat(3_000))
    await settle()
    expect(server.stats).toMatchObject({ buffered: 1, dropped: 10 })
  })
})

describe('a message of no service', () => {
  it('goes to its callback, one after another, and what that returns goes nowhere', async () => {
    const { client, server } = connected()
    const seen: unknown[] = []
    server.registerCallback(99, null, async message => {
      seen.push(message.getData())
      await settle()
      seen.push('done')
      return [0, 'ignored']
    })
    for (const data of [1, 2]) await client.send(99, 0, data)
    await expect.poll(() => seen).toEqual([1, 'done', 2, 'done'])
    expect(client.stats.received).toBe(1) // the answer to the channel's name
  })

  it('whose callback throws is told to the log, and the next one comes', async () => {
    const logger = recordingLogger()
    const { client, server } = connected({ logger })
    const seen: unknown[] = []
    server.registerCallback(99, 0, message => {
      seen.push(message.getData())
      throw new Error('of the callback')
    })
    for (const data of [1, 2]) await client.send(99, 0, data)
    await expect.poll(() => seen).toEqual([1, 2])
    expect(logger.lines.filter(line => line.includes('the callback failed'))).toHaveLength(2)
  })
})

describe('bad input', () => {
  it('a wrong checksum is answered with status 5 where the ids can be read, else told', async () => {
    for (const Protocol of [sp.PureJsonProtocol, sp.StructJsonProtocol]) {
      const { link, client, server } = connected({}, Protocol)
      server.registerCallback(READ, 0, () => [0, 'sound'])
      const codes: string[] = []
      server.on('malformed', error => codes.push(error.code))
      await settle()
      link.client.intercept = body => {
        body[body.length - 1] = (body.at(-1) as number) ^ 1
        return body
      }
      expect(parts(await client.request(READ, 0))).toEqual([sp.STATUS_CHECKSUM_ERROR, null])
      link.client.intercept = body => Buffer.from(body.toString('hex').slice(0, 20), 'hex')
      await client.send(READ, 0)
      link.client.intercept = body => body
      await settle()
      expect(codes[0]).toBe('ERR_FDWIRE_BAD_CHECKSUM')
      expect([codes.length, server.stats.malformed]).toEqual([2, 2])
    }
  })

  it('a response that cannot be read rejects the request whose turn it is', async () => {
    const { link, client, server } = connected()
    server.registerCallback(READ, 0, message => [0, message.getData()])
    await settle()
    let count = 0
    link.server.intercept = body => {
      if (count++ === 1) body[body.length - 1] = (body.at(-1) as number) ^ 1
      return body
    }
    const results = await Promise.allSettled([1, 2, 3].map(n => client.request(READ, 0, n)))
    expect(results.map(result => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(results[1]).toMatchObject({ reason: { code: 'ERR_FDWIRE_BAD_CHECKSUM' } })
    expect(results[2]).toMatchObject({ value: expect.anything() })
  })

  it('data that is no JSON is answered with status 6', async () => {
    const link = new Link()
    const peer = new RawPeer(link.client, 'struct_json')
    new sp.StructJsonProtocol(link.server)
    link.up()
    const good = Buffer.from('000000000000000a00000001', 'hex')
    const { crc32 } = await import('../../support/crc32.js')
    const body = Buffer.concat([good, Buffer.from('nul')])
    link.server.deliver(Buffer.concat([body, crc32(body)]))
    expect(await peer.receive()).toMatchObject({ status: 6, service_id: 11, data_id: 1 })
  })

  it.each(['', 'rubbish', '{}', '[]', 'null', '{"service_id":10}'])(
    'a body that is none (%j) is told, and nothing is answered',
    async text => {
      const { link, peer, server } = rude()
      link.server.deliver(Buffer.from(text))
      const { crc32 } = await import('../../support/crc32.js')
      link.server.deliver(Buffer.concat([Buffer.from(text), crc32(Buffer.from(text))]))
      await settle()
      expect([server.stats.malformed, peer.unread]).toEqual([2, 0])
    },
  )

  it('ids and data that cannot be sent', async () => {
    const { client } = connected()
    await expect(client.send('10' as never, 0)).rejects.toThrow(TypeError)
    await expect(client.send(READ, 2 ** 32)).rejects.toThrow(RangeError)
    await expect(client.send(READ, 0, null, { status: -1 })).rejects.toThrow(RangeError)
    await expect(client.send(READ, 0, 1n)).rejects.toHaveProperty('code', 'ERR_FDWIRE_UNENCODABLE')
    await expect(client.request(READ, 0, () => {})).rejects.toHaveProperty(
      'code',
      'ERR_FDWIRE_UNENCODABLE',
    )
    for (const own of [0, 1, 8, 9]) await expect(client.send(own, 0)).rejects.toThrow(RangeError)
    await expect(client.send(READ, 0, 1, { timeot: 1 } as never)).rejects.toThrow(TypeError)
    expect(client.stats.requests).toBe(0)
    expect(EXECUTE_RESPONSE).toBe(31)
  })

  it('options that are none', () => {
    const make = (options: object) => () => new sp.PureJsonProtocol(new Link().client, options)
    expect(make({ secrit: 'x' })).toThrow(TypeError)
    expect(make({ secret: 5 })).toThrow(TypeError)
    expect(make({ secret: '' })).toThrow(RangeError)
    expect(make({ secret: '\ud800' })).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_ILL_FORMED_TEXT' }),
    )
    expect(make({ maxAttempts: 0 })).toThrow(RangeError)
    expect(make({ channelName: 7 })).toThrow(TypeError)
    expect(make({ channelName: 'x'.repeat(257) })).toThrow(RangeError)
    expect(make({ logger: {} })).toThrow(TypeError)
    expect(make({ deriveKey: 'sha' })).toThrow(TypeError)
  })
})

describe('typed services', () => {
  const climate = sp.defineService(40, 41, 'climate')
  const isNumber = (data: unknown): data is number => typeof data === 'number'
  const target = climate.datum<number, { was: number }>(1, 'target', { isRequest: isNumber })

  function ends() {
    const pair = connected()
    climate.addTo(pair.client)
    climate.addTo(pair.server)
    return pair
  }

  it('have a type on both ends', async () => {
    const { client, server } = ends()
    let value = 20
    server.serve(target, data => {
      const was = value
      value = data.valueOf()
      return { was }
    })
    const { was } = await client.call(target, 21)
    expect([was.toFixed(0), value]).toEqual(['20', 21])
    // @ts-expect-error a text is no target
    await expect(client.call(target, '22')).rejects.toMatchObject({
      code: 'ERR_FDWIRE_STATUS',
      status: sp.STATUS_CALLBACK_ERROR,
    })
  })

  it('refuse with a status, which the caller gets as an error', async () => {
    const { client, server } = ends()
    server.serve(target, async () => {
      throw new sp.Refusal(sp.STATUS_OPERATION_NOT_PERMITTED, 'too warm')
    })
    const error = await client.call(target, 99).catch(error => error)
    expect(error).toBeInstanceOf(sp.StatusError)
    expect([error.status, error.response.getData()]).toEqual([6, 'too warm'])
  })

  it('check what comes, where a check is given', async () => {
    const { client, server } = ends()
    const checked = climate.datum<null, number>(2, 'level', { isResponse: isNumber })
    server.registerCallback(40, 2, () => [0, 'no number'])
    await expect(client.call(checked, null)).rejects.toThrow(TypeError)
  })
})
