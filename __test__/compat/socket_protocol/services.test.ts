/** Services and callbacks of socket_protocol, over an in-memory transport. */
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import { protocolPair, recordingLogger, settle } from '../../support/socket_protocol.js'

const {
  SID_READ_REQUEST: READ,
  SID_READ_RESPONSE: READ_RESPONSE,
  SID_EXECUTE_REQUEST: EXECUTE,
} = sp

/** Returns the status and the data of a message. */
const statusAndData = (message: sp.DataStorage | null) => [message?.getStatus(), message?.getData()]

describe('a socket_protocol request', () => {
  it.each([
    ['PureJsonProtocol', sp.PureJsonProtocol],
    ['StructJsonProtocol', sp.StructJsonProtocol],
  ])('gets a response with the response id and the same data id from a %s', async (_, Protocol) => {
    const { client, server } = protocolPair({}, Protocol)
    server.registerCallback(READ, 7, message => [sp.STATUS_OKAY, [message.getData(), 'é']])
    const response = await client.request(READ, 7, { key: true })
    expect(response.toJSON()).toEqual({
      status: 0,
      service_id: READ_RESPONSE,
      data_id: 7,
      data: [{ key: true }, 'é'],
    })
  })

  it('is passed to the most specific callback', async () => {
    const { client, server } = protocolPair()
    const returnName = (_: sp.DataStorage, name: string) => [sp.STATUS_OKAY, name]
    const request = async (sid: number, did: number) => (await client.request(sid, did)).getData()
    server.registerCallback(null, null, returnName, 'any, any')
    expect(await request(READ, 1)).toBe('any, any')
    server.registerCallback(null, 1, returnName, 'any, 1')
    expect([await request(READ, 1), await request(READ, 2)]).toEqual(['any, 1', 'any, any'])
    server.registerCallback(READ, null, returnName, 'read, any')
    expect([await request(READ, 1), await request(EXECUTE, 1)]).toEqual(['read, any', 'any, 1'])
    server.registerCallback(READ, 1, returnName, 'read, 1')
    expect([await request(READ, 1), await request(READ, 2)]).toEqual(['read, 1', 'read, any'])
  })

  it('is passed to the callback with its extra arguments', async () => {
    const { client, server } = protocolPair()
    const add = (message: sp.DataStorage, a: number, b: { c: number }) => [
      0,
      message.getData() + a + b.c,
    ]
    server.registerCallback(EXECUTE, 0, add, 20, { c: 300 })
    expect((await client.request(EXECUTE, 0, 1)).getData()).toBe(321)
  })

  it('can use an added service, whose ids cannot be added again', async () => {
    const { client, server } = protocolPair()
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

  it('needs a registered service: another id gets no response', async () => {
    const { client, server, link } = protocolPair()
    server.registerCallback(60, 0, () => [0, 'not sent'])
    await client.send(60, 0)
    await settle()
    expect(server.stats.sent).toBe(1) // the channel name
    await expect(client.request(60, 0)).rejects.toThrow(RangeError)
    expect(link.isUp).toBe(true)
  })
})

describe('a callback of a socket_protocol request that', () => {
  const cyclic: unknown[] = []
  cyclic.push(cyclic)
  const bad: [string, () => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['returns a rejected promise', () => Promise.reject(new Error('no'))],
    [
      'throws an object that cannot be converted to text',
      () => {
        throw Object.create(null)
      },
    ],
    ['returns undefined', () => undefined],
    ['returns a number', () => 0],
    ['returns an empty array', () => []],
    ['returns an invalid status', () => ['okay', 1]],
    ['returns a negative status', () => [-1, 1]],
    ['returns three elements', () => [0, 1, 2]],
    ['returns a BigInt', () => [0, 1n]],
    ['returns a cyclic value', () => [0, cyclic]],
    ['returns a function', () => [0, () => {}]],
  ]
  it.each(bad)('%s causes STATUS_CALLBACK_ERROR and no further harm', async (_, callback) => {
    const { client, server } = protocolPair()
    server.registerCallback(READ, 0, callback).registerCallback(READ, 1, () => [0, 'fine'])
    expect(statusAndData(await client.request(READ, 0))).toEqual([sp.STATUS_CALLBACK_ERROR, null])
    expect(statusAndData(await client.request(READ, 0))).toEqual([sp.STATUS_CALLBACK_ERROR, null])
    expect(statusAndData(await client.request(READ, 1))).toEqual([0, 'fine'])
  })

  it('throws an error with the data of the message leaves none of it in the log', async () => {
    const logger = recordingLogger()
    const { client, server } = protocolPair({ logger })
    server.registerCallback(READ, 0, message => [0, JSON.parse(message.getData() as string)])
    expect((await client.request(READ, 0, 'PASSWORD-123')).getStatus()).toBe(
      sp.STATUS_CALLBACK_ERROR,
    )
    const [line] = logger.lines.filter(line => line.includes('the callback failed'))
    expect(line).toMatch(/SyntaxError at JSON\.parse/)
    expect(logger.lines.join()).not.toContain('PASSWORD')
  })

  it('returns only a status sends null as data', async () => {
    const { client, server } = protocolPair()
    server.registerCallback(READ, 0, () => [sp.STATUS_OPERATION_NOT_PERMITTED])
    server.registerCallback(READ, 1, () => [sp.STATUS_OKAY, undefined])
    expect(statusAndData(await client.request(READ, 0))).toEqual([6, null])
    expect(statusAndData(await client.request(READ, 1))).toEqual([0, null])
  })

  it('is not a function, or is for a reserved service, cannot be registered', () => {
    const { server } = protocolPair()
    for (const invalid of [undefined, null, 1, 'f']) {
      expect(() => server.registerCallback(READ, 0, invalid as never)).toThrow(TypeError)
    }
    for (const own of [0, 1, 8, 9]) {
      expect(() => server.registerCallback(own, 0, () => [0])).toThrow(RangeError)
    }
    expect(() => server.registerCallback('10' as never, 0, () => [0])).toThrow(TypeError)
    expect(() => server.registerCallback(READ, -1, () => [0])).toThrow(RangeError)
  })
})

describe('a socket_protocol request without a callback', () => {
  it('gets status 1 and is buffered for receive', async () => {
    const { client, server } = protocolPair()
    expect(statusAndData(await client.request(EXECUTE, 3, 'later'))).toEqual([
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

  it('resolves pending receive calls in the order of the calls', async () => {
    const { client, server } = protocolPair()
    const waiting = [server.receive(READ, 0), server.receive(READ, 0), server.receive(READ, 1)]
    for (const [did, data] of [
      [0, 'first'],
      [1, 'other'],
      [0, 'second'],
    ] as const) {
      await client.send(READ, did, data)
    }
    const received = await Promise.all(waiting)
    expect(received.map(message => message?.getData())).toEqual(['first', 'second', 'other'])
  })

  it('gets status 4 and is not buffered if its datum is unknown', async () => {
    const { client, server } = protocolPair()
    server.addData([READ, EXECUTE], 1, 'temperature')
    expect(statusAndData(await client.request(READ, 2))).toEqual([
      sp.STATUS_SERVICE_OR_DATA_UNKNOWN,
      null,
    ])
    expect(statusAndData(await client.request(READ, 1))).toEqual([
      sp.STATUS_BUFFERING_UNHANDLED_REQUEST,
      null,
    ])
    expect(server.stats.buffered).toBe(1)
  })
})

describe('a typed service', () => {
  const climate = sp.defineService(40, 41, 'climate')
  const isNumber = (data: unknown): data is number => typeof data === 'number'
  const target = climate.datum<number, { was: number }>(1, 'target', { isRequest: isNumber })

  /** Returns a connected client and server with the service. */
  function pairWithService() {
    const pair = protocolPair()
    climate.addTo(pair.client)
    climate.addTo(pair.server)
    return pair
  }

  it('has the same types at both ends', async () => {
    const { client, server } = pairWithService()
    let value = 20
    server.serve(target, data => {
      const was = value
      value = data.valueOf()
      return { was }
    })
    const { was } = await client.call(target, 21)
    expect([was.toFixed(0), value]).toEqual(['20', 21])
    // @ts-expect-error a target is a number
    await expect(client.call(target, '22')).rejects.toMatchObject({
      code: 'ERR_FDWIRE_STATUS',
      status: sp.STATUS_CALLBACK_ERROR,
    })
  })

  it('rejects a call with the status of a Refusal', async () => {
    const { client, server } = pairWithService()
    server.serve(target, async () => {
      throw new sp.Refusal(sp.STATUS_OPERATION_NOT_PERMITTED, 'too warm')
    })
    const error = await client.call(target, 99).catch(error => error)
    expect(error).toBeInstanceOf(sp.StatusError)
    expect([error.status, error.response.getData()]).toEqual([6, 'too warm'])
  })

  it('rejects a response that fails its check', async () => {
    const { client, server } = pairWithService()
    const checked = climate.datum<null, number>(2, 'level', { isResponse: isNumber })
    server.registerCallback(40, 2, () => [0, 'not a number'])
    await expect(client.call(checked, null)).rejects.toThrow(TypeError)
  })
})
