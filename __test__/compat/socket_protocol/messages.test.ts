/** Buffered messages, malformed input and invalid arguments, over an in-memory transport. */
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

const { SID_READ_REQUEST: READ, SID_READ_RESPONSE: READ_RESPONSE } = sp
const { SID_EXECUTE_RESPONSE: EXECUTE_RESPONSE } = sp

/** Returns the status and the data of a message. */
const statusAndData = (message: sp.DataStorage | null) => [message?.getStatus(), message?.getData()]

describe('Protocol.receive', () => {
  it('resolves to null at its timeout and rejects when aborted', async () => {
    const { server } = protocolPair()
    expect(await server.receive(READ, 0, { timeout: 5 })).toBe(null)
    const controller = new AbortController()
    const waiting = server.receive(READ, 0, { timeout: 0, signal: controller.signal })
    controller.abort('reason')
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError', cause: 'reason' })
    const signal = AbortSignal.abort()
    await expect(server.receive(READ, 0, { signal })).rejects.toHaveProperty('name', 'AbortError')
  })

  it('gets the response to a send, and a message that belongs to no service', async () => {
    const { client, server } = protocolPair()
    server.registerCallback(READ, 0, () => [0, 'response'])
    expect(await client.send(READ, 0)).toBe(true)
    expect((await client.receive(READ_RESPONSE, 0))?.getData()).toBe('response')
    expect(await server.send(99, 5, 'news', { status: 42 })).toBe(true)
    expect((await client.receive(99, 5))?.toJSON()).toMatchObject({ status: 42, data: 'news' })
  })

  it('reads from a buffer that keeps the newest 64 messages per id pair and 1,024 in total', async () => {
    const { peer, server } = serverWithRawClient()
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

  it('reads from a buffer that is limited by maxBufferedBytes', async () => {
    const { peer, server } = serverWithRawClient({ maxBufferedBytes: 1_000 })
    for (let i = 0; i < 10; i++) peer.send(99, i, 'x'.repeat(300))
    await settle()
    expect(server.stats).toMatchObject({ buffered: 2, dropped: 8 })
    // A message that is larger than the limit is buffered alone.
    peer.send(99, 50, 'x'.repeat(3_000))
    await settle()
    expect(server.stats).toMatchObject({ buffered: 1, dropped: 10 })
  })
})

describe('a message that belongs to no service', () => {
  it('is passed to its callback, whose result is ignored', async () => {
    const { client, server } = protocolPair()
    const seen: unknown[] = []
    server.registerCallback(99, null, async message => {
      seen.push(message.getData())
      await settle()
      seen.push('done')
      return [0, 'ignored']
    })
    for (const data of [1, 2]) await client.send(99, 0, data)
    await expect.poll(() => seen).toEqual([1, 'done', 2, 'done'])
    expect(client.stats.received).toBe(1) // the response to the channel name
  })

  it('is logged if its callback throws, and the next one is processed', async () => {
    const logger = recordingLogger()
    const { client, server } = protocolPair({ logger })
    const seen: unknown[] = []
    server.registerCallback(99, 0, message => {
      seen.push(message.getData())
      throw new Error('callback')
    })
    for (const data of [1, 2]) await client.send(99, 0, data)
    await expect.poll(() => seen).toEqual([1, 2])
    expect(logger.lines.filter(line => line.includes('the callback failed'))).toHaveLength(2)
  })
})

describe('malformed input of socket_protocol', () => {
  it('gets status 5 for a wrong checksum if the ids are readable, and is reported', async () => {
    for (const Protocol of [sp.PureJsonProtocol, sp.StructJsonProtocol]) {
      const { link, client, server } = protocolPair({}, Protocol)
      server.registerCallback(READ, 0, () => [0, 'valid'])
      const codes: string[] = []
      server.on('malformed', error => codes.push(error.code))
      await settle()
      link.client.intercept = body => {
        body[body.length - 1] = (body.at(-1) as number) ^ 1
        return body
      }
      expect(statusAndData(await client.request(READ, 0))).toEqual([sp.STATUS_CHECKSUM_ERROR, null])
      link.client.intercept = body => Buffer.from(body.toString('hex').slice(0, 20), 'hex')
      await client.send(READ, 0)
      link.client.intercept = body => body
      await settle()
      expect(codes[0]).toBe('ERR_FDWIRE_BAD_CHECKSUM')
      expect([codes.length, server.stats.malformed]).toEqual([2, 2])
    }
  })

  it('rejects the request that a malformed response belongs to', async () => {
    const { link, client, server } = protocolPair()
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

  it('gets status 6 if its data is invalid JSON', async () => {
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

  it.each(['', 'no body', '{}', '[]', 'null', '{"service_id":10}'])(
    'gets no response if the body is invalid (%j), and is reported',
    async text => {
      const { link, peer, server } = serverWithRawClient()
      link.server.deliver(Buffer.from(text))
      const { crc32 } = await import('../../support/crc32.js')
      link.server.deliver(Buffer.concat([Buffer.from(text), crc32(Buffer.from(text))]))
      await settle()
      expect([server.stats.malformed, peer.unread]).toEqual([2, 0])
    },
  )
})

describe('Protocol.send', () => {
  it('rejects invalid ids, data and options', async () => {
    const { client } = protocolPair()
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
})

describe('the constructor of a Protocol', () => {
  it('throws for invalid options', () => {
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
