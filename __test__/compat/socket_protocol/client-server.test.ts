/** SocketClient, SocketServer and ProtocolServer over real sockets. */
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import { cleanUpAfterEach } from '../../support/processes.js'
import { recordingLogger } from '../../support/socket_protocol.js'
import {
  closeAfterTest,
  closeProtocolsAfterEach,
  connectRaw,
  dataOf,
  encodeFrame,
  FAST,
  registerEcho,
  SECRET,
  socketPath,
  startClient,
  startEchoServer,
} from '../../support/socket_protocol-sockets.js'

cleanUpAfterEach()
closeProtocolsAfterEach()

const { SID_READ_REQUEST: READ, SID_EXECUTE_REQUEST: EXECUTE } = sp

describe('SocketClient and SocketServer', () => {
  it.each(['unix', 'tcp'] as const)('exchange messages over %s in both forms', async kind => {
    for (const Protocol of [sp.PureJsonProtocol, sp.StructJsonProtocol]) {
      const where = kind === 'unix' ? socketPath() : { host: 'localhost', port: 0 }
      const transport = await sp.SocketServer.listen(where)
      const server = registerEcho(closeAfterTest(new Protocol(transport, { secret: SECRET })))
      const address = transport.address as never
      const device = closeAfterTest(
        new Protocol(new sp.SocketClient(address, FAST), { secret: SECRET, autoAuth: true }),
      )
      const values = [null, ':<:=:>', 'é 😀', { deep: [1, { x: '\ud800' }] }, 'x'.repeat(200_000)]
      for (const value of values)
        expect(dataOf(await device.request(READ, 1, value))).toEqual(value)
      expect([device.connectionEstablished(), server.connectionEstablished()]).toEqual([true, true])
      const all = await Promise.all(
        Array.from({ length: 500 }, (_, n) => device.request(READ, n % 7, n)),
      )
      expect(all.map(dataOf)).toEqual(all.map((_, n) => n))
    }
  })

  it('report the reason for a failed connection', async () => {
    const logger = recordingLogger()
    const listening = await sp.ProtocolServer.listen(
      socketPath(),
      transport => registerEcho(new sp.PureJsonProtocol(transport, { logger })),
      { maxMessage: 1_000 },
    )
    closeAfterTest(listening)
    const peer = await connectRaw(listening.address as string)
    await expect.poll(() => listening.protocols.size).toBe(1)
    const [protocol] = listening.protocols
    const disconnected = once(protocol as sp.Protocol, 'disconnect')
    peer.write(`:<${'x'.repeat(5_000)}`)
    expect((await disconnected)[0]).toHaveProperty('code', 'ERR_FDWIRE_MESSAGE_TOO_LARGE')
    expect(logger.lines.join()).toContain('warn: socket_protocol: disconnected: A message has more')
    peer.destroy()
  })

  it('can be started in any order: the client connects once the server listens', async () => {
    const where = socketPath()
    const device = startClient(where)
    expect(await device.send(READ, 0, null, { timeout: 5 })).toBe(false)
    const waiting = device.request(READ, 0, 'early', { timeout: 10_000 })
    await startEchoServer(where)
    expect(dataOf(await waiting)).toBe('early')
  })

  it('reconnect, and reject requests in flight instead of sending them again', async () => {
    const where = socketPath()
    let executions = 0
    const listen = async () =>
      closeAfterTest(
        await sp.ProtocolServer.listen(where, transport => {
          const protocol = new sp.PureJsonProtocol(transport, { secret: SECRET })
          protocol.registerCallback(EXECUTE, 0, () => {
            executions++
            return new Promise(() => {})
          })
          return registerEcho(protocol)
        }),
      )
    let server = await listen()
    const device = startClient(where, { secret: SECRET, autoAuth: true })
    for (let round = 1; round <= 3; round++) {
      expect(dataOf(await device.request(READ, 0, round, { timeout: 10_000 }))).toBe(round)
      const rejected = expect(device.request(EXECUTE, 0)).rejects.toHaveProperty(
        'code',
        'ERR_FDWIRE_PEER_CLOSED',
      )
      await expect.poll(() => executions).toBe(round)
      const disconnected = once(device, 'disconnect')
      await server.close()
      await rejected
      await disconnected
      expect(device.checkAuthentificationState()).toBe(false)
      server = await listen()
    }
    expect(dataOf(await device.request(READ, 0, 'last', { timeout: 10_000 }))).toBe('last')
    expect(executions).toBe(3)
  })

  it('connect at once on reconnect(), without the delay', async () => {
    const where = socketPath()
    const transport = new sp.SocketClient(where, { minDelay: 600_000, maxDelay: 600_000 })
    const device = closeAfterTest(new sp.PureJsonProtocol(transport))
    expect(await device.reconnect()).toBe(false)
    await startEchoServer(where)
    expect(await device.reconnect()).toBe(true)
    expect(dataOf(await device.request(READ, 0, 1))).toBe(1)
    // With an existing connection, reconnect() replaces it.
    const before = transport.channel
    expect(await device.reconnect()).toBe(true)
    expect(transport.channel).not.toBe(before)
    expect(dataOf(await device.request(READ, 0, 2))).toBe(2)
  })

  it("have one connection if a listener of 'disconnect' reconnects", async () => {
    const where = socketPath()
    const server = await startEchoServer(where)
    const device = startClient(where)
    expect(dataOf(await device.request(READ, 0, 1, { timeout: 10_000 }))).toBe(1)
    const again = new Promise(resolve => {
      device.once('disconnect', () => resolve(device.reconnect()))
    })
    for (const protocol of server.protocols) await protocol.close()
    expect(await again).toBe(true)
    // The timer of an attempt would have expired by then: timers expire in the order of their times.
    await setTimeout(2 * FAST.maxDelay)
    expect(dataOf(await device.request(READ, 0, 2))).toBe(2)
    expect(server.protocols.size).toBe(1)
    await device.close()
    await expect.poll(() => server.protocols.size).toBe(0)
  })

  it('stop connecting after maxAttempts until reconnect()', async () => {
    const where = socketPath()
    const logger = recordingLogger()
    const transport = new sp.SocketClient(where, { ...FAST, maxAttempts: 3, logger })
    const device = closeAfterTest(new sp.PureJsonProtocol(transport))
    await expect.poll(() => logger.lines.at(-1)).toContain('no more attempts')
    expect(logger.lines.filter(line => line.includes('ENOENT'))).toHaveLength(4)
    await startEchoServer(where)
    expect(await device.reconnect()).toBe(true)
  })

  it('reject invalid options and addresses', async () => {
    const make = (options: object | null) => () =>
      new sp.SocketClient(socketPath(), options as never)
    expect(make({ minDelay: 0 })).toThrow(RangeError)
    expect(make({ minDelay: 10, maxDelay: 5 })).toThrow(RangeError)
    for (const wrong of [
      null,
      { nonsense: 1 },
      { protocol: 'socket_protocol' },
      { encoding: 'buffer' },
      { signal: AbortSignal.abort() },
      { logger: {} },
      { logger: null },
    ]) {
      expect(make(wrong)).toThrow(TypeError)
    }
    const to = (address: unknown) => () => new sp.SocketClient(address as string, FAST)
    for (const wrong of [5, null, { host: 'x' }, { host: 'x', port: '1' }]) {
      expect(to(wrong)).toThrow(TypeError)
    }
    const badAddress = expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS' })
    for (const wrong of ['', 'x'.repeat(200)]) expect(to(wrong)).toThrow(badAddress)
    for (const fixed of [{ protocol: 'socket_protocol' }, { encoding: 'buffer' }]) {
      await expect(sp.SocketServer.listen(socketPath(), fixed as never)).rejects.toThrow(TypeError)
      const many = sp.ProtocolServer.listen(socketPath(), () => ({}) as never, fixed as never)
      await expect(many).rejects.toThrow(TypeError)
    }
    await expect(sp.ProtocolServer.listen(socketPath(), undefined as never)).rejects.toThrow(
      TypeError,
    )
    await expect(sp.SocketServer.listen(socketPath(), { nonsense: 1 } as never)).rejects.toThrow(
      TypeError,
    )
  })
})

describe('a protocol object', () => {
  it('is not made without a transport, and the error names a method that is missing', () => {
    const models = 'like SocketClient and ChannelTransport'
    for (const wrong of [undefined, 5, { secret: 'x' }]) {
      expect(() => new sp.PureJsonProtocol(wrong as never)).toThrow(
        new TypeError(`transport must have a method initChannelName, ${models}`),
      )
    }
  })
})

describe('SocketServer', () => {
  it('serves one client at a time, the next one after the first disconnects', async () => {
    const transport = await sp.SocketServer.listen(socketPath())
    const server = registerEcho(closeAfterTest(new sp.PureJsonProtocol(transport)))
    const [first, second] = [
      startClient(transport.address as string),
      startClient(transport.address as string),
    ]
    const served = await Promise.any(
      [first, second].map(device => device.request(READ, 0, 1).then(() => device)),
    )
    const waiting = served === first ? second : first
    await expect(waiting.request(READ, 0, 2, { timeout: 30 })).rejects.toHaveProperty(
      'code',
      'ERR_FDWIRE_TIMEOUT',
    )
    const response = waiting.request(READ, 0, 3, { timeout: 10_000 })
    await served.close()
    expect(dataOf(await response)).toBe(3)
    // reconnect() of a server disconnects the client, which connects again.
    const reconnected = once(waiting, 'connect')
    expect(await server.reconnect()).toBe(false)
    await reconnected
    expect(dataOf(await waiting.request(READ, 0, 4))).toBe(4)
  })
})

describe('ProtocolServer', () => {
  it('creates a Protocol with its own trust for each client', async () => {
    const where = socketPath()
    const server = await startEchoServer(where, { secret: SECRET })
    const good = startClient(where, { secret: SECRET, autoAuth: true })
    const bad = startClient(where, { secret: 'wrong', autoAuth: true })
    const none = startClient(where)
    expect((await good.request(READ, 0)).getStatus()).toBe(0)
    for (const device of [bad, none]) {
      expect((await device.request(READ, 0)).getStatus()).toBe(sp.STATUS_AUTH_REQUIRED)
    }
    expect(server.protocols.size).toBe(3)
    await bad.close()
    await expect.poll(() => server.protocols.size).toBe(2)
    expect((await good.request(READ, 0)).getStatus()).toBe(0)
  })

  it('closes all connections when it is closed', async () => {
    const where = socketPath()
    const server = await startEchoServer(where)
    const device = startClient(where)
    await device.request(READ, 0)
    const disconnected = once(device, 'disconnect')
    await server.close()
    await disconnected
    expect(server.protocols.size).toBe(0)
  })

  it('disconnects a client after maxAttempts wrong keys and serves the others', async () => {
    const where = socketPath()
    const server = await startEchoServer(where, { secret: SECRET, maxAttempts: 2 })
    const socket = await connectRaw(where)
    await expect.poll(() => server.protocols.size).toBe(1)
    const disconnected = once([...server.protocols][0] as sp.Protocol, 'disconnect')
    let received = ''
    socket.on('data', chunk => {
      received += chunk
    })
    const ended = once(socket, 'close')
    for (let i = 0; i < 4; i++) socket.write(encodeFrame(0, 1, 'no key'))
    await ended
    expect(received.match(/"status":=6,"data":=false/g)).toHaveLength(2)
    expect(await disconnected).toEqual([
      expect.objectContaining({ code: 'ERR_FDWIRE_HANDSHAKE', fault: 'peer' }),
    ])
    const good = startClient(where, { secret: SECRET, autoAuth: true })
    expect((await good.request(READ, 0)).getStatus()).toBe(0)
  })
})
