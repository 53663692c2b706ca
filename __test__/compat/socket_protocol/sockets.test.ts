/** socket_protocol over real sockets: connections that end, come back, and are full of rubbish. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { over, pair } from 'fdwire'
import * as sp from 'fdwire/socket_protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { encodeBody } from '../../../lib/wire/encodings/socket_protocol.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../../support/processes.js'
import { recordingLogger } from '../../support/socket_protocol.js'

cleanUpAfterEach()

const { SID_READ_REQUEST: READ, SID_EXECUTE_REQUEST: EXECUTE } = sp
const SECRET = 'a secret of both'
const FRAMING = { protocol: 'socket_protocol', encoding: 'buffer' } as const
const FAST = { minDelay: 1, maxDelay: 20 }

const open: { close(): unknown }[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(one => one.close()))
})
const keep = <T extends { close(): unknown }>(one: T): T => {
  open.push(one)
  return one
}
const client = (where: ConstructorParameters<typeof sp.SocketClient>[0], options = {}) =>
  keep(new sp.PureJsonProtocol(new sp.SocketClient(where, FAST), options))
const echo = <P extends sp.Protocol>(protocol: P): P => {
  protocol.registerCallback(READ, null, message => [0, message.getData()])
  return protocol
}
const echoServer = async (path: string, options: sp.ProtocolOptions = {}) =>
  keep(
    await sp.ProtocolServer.listen(path, transport =>
      echo(new sp.PureJsonProtocol(transport, options)),
    ),
  )
const path = () => join(temporaryDirectory(), 'socket')
const dataOf = (message: sp.DataStorage) => message.getData()
const wire = (sid: number, did: number, data: unknown = null) => {
  const body = encodeBody('pure_json', { service_id: sid, data_id: did, status: 0, data })
  return Buffer.from(`:<${body.toString('latin1').replaceAll(':', ':=')}:>`, 'latin1')
}

describe('a client and a server', () => {
  it.each(['unix', 'tcp'] as const)('speak over %s in both forms', async kind => {
    for (const Protocol of [sp.PureJsonProtocol, sp.StructJsonProtocol]) {
      const where = kind === 'unix' ? path() : { host: 'localhost', port: 0 }
      const transport = await sp.SocketServer.listen(where)
      const server = echo(keep(new Protocol(transport, { secret: SECRET })))
      const address = transport.address as never
      const device = keep(
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

  it('say why a connection did not end well', async () => {
    const logger = recordingLogger()
    const listening = await sp.ProtocolServer.listen(
      path(),
      transport => echo(new sp.PureJsonProtocol(transport, { logger })),
      { maxMessage: 1_000 },
    )
    keep(listening)
    const peer = await raw(listening.address as string)
    await expect.poll(() => listening.protocols.size).toBe(1)
    const [protocol] = listening.protocols
    const why = once(protocol as sp.Protocol, 'disconnect')
    peer.write(`:<${'x'.repeat(5_000)}`)
    expect((await why)[0]).toHaveProperty('code', 'ERR_FDWIRE_MESSAGE_TOO_LARGE')
    expect(logger.lines.join()).toContain('warn: socket_protocol: disconnected: A message has more')
    peer.destroy()
  })

  it('may begin in any order: the client comes when there is somebody', async () => {
    const where = path()
    const device = client(where)
    expect(await device.send(READ, 0, null, { timeout: 5 })).toBe(false)
    const waiting = device.request(READ, 0, 'early', { timeout: 10_000 })
    await echoServer(where)
    expect(dataOf(await waiting)).toBe('early')
  })

  it('find each other again, and requests under way are rejected, not sent again', async () => {
    const where = path()
    let asked = 0
    const listen = async () =>
      keep(
        await sp.ProtocolServer.listen(where, transport => {
          const protocol = new sp.PureJsonProtocol(transport, { secret: SECRET })
          protocol.registerCallback(EXECUTE, 0, () => {
            asked++
            return new Promise(() => {})
          })
          return echo(protocol)
        }),
      )
    let server = await listen()
    const device = client(where, { secret: SECRET, autoAuth: true })
    for (let round = 1; round <= 3; round++) {
      expect(dataOf(await device.request(READ, 0, round, { timeout: 10_000 }))).toBe(round)
      const doomed = expect(device.request(EXECUTE, 0)).rejects.toHaveProperty(
        'code',
        'ERR_FDWIRE_CLOSED',
      )
      await expect.poll(() => asked).toBe(round)
      const gone = once(device, 'disconnect')
      await server.close()
      await doomed
      await gone
      expect(device.checkAuthentificationState()).toBe(false)
      server = await listen()
    }
    expect(dataOf(await device.request(READ, 0, 'last', { timeout: 10_000 }))).toBe('last')
    expect(asked).toBe(3)
  })

  it('reconnect() does not wait for the pause', async () => {
    const where = path()
    const transport = new sp.SocketClient(where, { minDelay: 600_000, maxDelay: 600_000 })
    const device = keep(new sp.PureJsonProtocol(transport))
    expect(await device.reconnect()).toBe(false)
    await echoServer(where)
    expect(await device.reconnect()).toBe(true)
    expect(dataOf(await device.request(READ, 0, 1))).toBe(1)
    // With a connection it makes another.
    const before = transport.channel
    expect(await device.reconnect()).toBe(true)
    expect(transport.channel).not.toBe(before)
    expect(dataOf(await device.request(READ, 0, 2))).toBe(2)
  })

  it('stops after maxAttempts, until reconnect()', async () => {
    const where = path()
    const logger = recordingLogger()
    const transport = new sp.SocketClient(where, { ...FAST, maxAttempts: 3, logger })
    const device = keep(new sp.PureJsonProtocol(transport))
    await expect.poll(() => logger.lines.at(-1)).toContain('no more attempts')
    expect(logger.lines.filter(line => line.includes('ENOENT'))).toHaveLength(4)
    await echoServer(where)
    expect(await device.reconnect()).toBe(true)
  })

  it('refuse options and addresses that are none', async () => {
    const make = (options: object | null) => () => new sp.SocketClient(path(), options as never)
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
    const nowhere = expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS' })
    for (const wrong of ['', 'x'.repeat(200)]) expect(to(wrong)).toThrow(nowhere)
    for (const fixed of [{ protocol: 'socket_protocol' }, { encoding: 'buffer' }]) {
      await expect(sp.SocketServer.listen(path(), fixed as never)).rejects.toThrow(TypeError)
      const many = sp.ProtocolServer.listen(path(), () => ({}) as never, fixed as never)
      await expect(many).rejects.toThrow(TypeError)
    }
    await expect(sp.ProtocolServer.listen(path(), undefined as never)).rejects.toThrow(TypeError)
    await expect(sp.SocketServer.listen(path(), { nonsense: 1 } as never)).rejects.toThrow(
      TypeError,
    )
  })
})

describe('a server for one peer', () => {
  it('lets the next one wait until the first is gone', async () => {
    const transport = await sp.SocketServer.listen(path())
    const server = echo(keep(new sp.PureJsonProtocol(transport)))
    const [first, second] = [
      client(transport.address as string),
      client(transport.address as string),
    ]
    const winner = await Promise.any(
      [first, second].map(one => one.request(READ, 0, 1).then(() => one)),
    )
    const loser = winner === first ? second : first
    await expect(loser.request(READ, 0, 2, { timeout: 30 })).rejects.toHaveProperty(
      'code',
      'ERR_FDWIRE_TIMEOUT',
    )
    const waiting = loser.request(READ, 0, 3, { timeout: 10_000 })
    await winner.close()
    expect(dataOf(await waiting)).toBe(3)
    // reconnect() sends a peer away; here it comes back.
    const back = once(loser, 'connect')
    expect(await server.reconnect()).toBe(false)
    await back
    expect(dataOf(await loser.request(READ, 0, 4))).toBe(4)
  })
})

describe('a server for many peers', () => {
  it('has a protocol object for each, with a trust of its own', async () => {
    const where = path()
    const server = await echoServer(where, { secret: SECRET })
    const good = client(where, { secret: SECRET, autoAuth: true })
    const bad = client(where, { secret: 'wrong', autoAuth: true })
    const none = client(where)
    expect((await good.request(READ, 0)).getStatus()).toBe(0)
    for (const one of [bad, none]) {
      expect((await one.request(READ, 0)).getStatus()).toBe(sp.STATUS_AUTH_REQUIRED)
    }
    expect(server.protocols.size).toBe(3)
    await bad.close()
    await expect.poll(() => server.protocols.size).toBe(2)
    expect((await good.request(READ, 0)).getStatus()).toBe(0)
  })

  it('closes all of them with itself', async () => {
    const where = path()
    const server = await echoServer(where)
    const device = client(where)
    await device.request(READ, 0)
    const gone = once(device, 'disconnect')
    await server.close()
    await gone
    expect(server.protocols.size).toBe(0)
  })

  it('sends a peer away that tries too often, and serves the others', async () => {
    const where = path()
    await echoServer(where, { secret: SECRET, maxAttempts: 2 })
    const socket = await raw(where)
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk
    })
    const ended = once(socket, 'close')
    for (let i = 0; i < 4; i++) socket.write(wire(0, 1, 'no key'))
    await ended
    expect(heard.match(/"status":=6,"data":=false/g)).toHaveLength(2)
    const good = client(where, { secret: SECRET, autoAuth: true })
    expect((await good.request(READ, 0)).getStatus()).toBe(0)
  })
})

describe('a channel', () => {
  it.each(['stream', 'seqpacket', 'dgram'] as const)('of a pair over %s carries it', async type => {
    const [a, b] = pair({ ...FRAMING, type })
    const device = keep(new sp.PureJsonProtocol(new sp.ChannelTransport(a, { isClient: true })))
    const server = echo(keep(new sp.PureJsonProtocol(new sp.ChannelTransport(b))))
    expect(dataOf(await device.request(READ, 0, { over: type }))).toEqual({ over: type })
    await server.close()
    if (type === 'stream') await expect.poll(() => device.isConnected()).toBe(false)
    // A datagram socket hears of it from the kernel, with what it sends.
    expect(await device.send(READ, 0, 1, { timeout: 20 })).toBe(false)
    expect([device.isConnected(), await device.reconnect()]).toEqual([false, false])
  })

  it('that is too small for a message refuses it, and goes on', async () => {
    const [a, b] = pair({ ...FRAMING, type: 'dgram' })
    const device = keep(new sp.PureJsonProtocol(new sp.ChannelTransport(a, { isClient: true })))
    const server = keep(new sp.PureJsonProtocol(new sp.ChannelTransport(b)))
    server.registerCallback(READ, 0, () => [0, 'x'.repeat(400_000)])
    server.registerCallback(READ, 1, message => [0, message.getData()])
    await expect(device.request(READ, 1, 'x'.repeat(400_000))).rejects.toHaveProperty(
      'code',
      'EMSGSIZE',
    )
    expect((await device.request(READ, 0)).getStatus()).toBe(sp.STATUS_CALLBACK_ERROR)
    expect(dataOf(await device.request(READ, 1, 'small'))).toBe('small')
  })

  it('over any Duplex carries it', async () => {
    const [left, right] = duplexPair()
    const device = keep(
      new sp.StructJsonProtocol(new sp.ChannelTransport(over(left, FRAMING), { isClient: true })),
    )
    echo(keep(new sp.StructJsonProtocol(new sp.ChannelTransport(over(right, FRAMING)))))
    expect(dataOf(await device.request(READ, 0, 'through JavaScript'))).toBe('through JavaScript')
  })

  it('of something else is refused', async () => {
    const [a, b] = pair({ protocol: 'socket_protocol' })
    const [c, d] = pair({ protocol: 'raw', type: 'dgram' })
    for (const one of [a, c]) expect(() => new sp.ChannelTransport(one as never)).toThrow(TypeError)
    await Promise.all([a, b, c, d].map(one => one.close()))
  })
})

describe('a peer that sends rubbish', () => {
  it('is told, and what stands behind it is served', async () => {
    const transport = await sp.SocketServer.listen(path())
    const server = echo(keep(new sp.PureJsonProtocol(transport)))
    const errors: Error[] = []
    server.on('malformed', error => errors.push(error))
    const socket = await raw(transport.address as string)
    socket.write('noise :> := :<bad :x escape:> :<{}:> :<not even:>')
    socket.write(wire(READ, 0, 'served'))
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toContain('"served"')
    expect(errors.map(error => (error as { code?: string }).code)).toEqual([
      'ERR_FDWIRE_BAD_ESCAPE',
      'ERR_FDWIRE_BAD_BODY',
      'ERR_FDWIRE_BAD_CHECKSUM',
    ])
    expect(errors.every(error => !('sample' in error))).toBe(true)
    socket.destroy()
  })

  it('at random harms nobody', async () => {
    const where = path()
    const server = await echoServer(where, { secret: SECRET })
    const sockets = await Promise.all(Array.from({ length: 5 }, () => raw(where)))
    for (const socket of sockets) {
      for (let i = 0; i < 50; i++) {
        socket.write(Buffer.from(':<:=:>').subarray(0, 1 + (i % 6)))
        socket.write(randomBytes(200))
        socket.write(':<')
        socket.write(randomBytes(20).toString('base64'))
        socket.write(':>')
      }
    }
    const device = client(where, { secret: SECRET, autoAuth: true })
    expect(dataOf(await device.request(READ, 0, 'fine'))).toBe('fine')
    await expect.poll(() => server.protocols.size).toBe(6)
    for (const socket of sockets) socket.destroy()
    await expect.poll(() => server.protocols.size).toBe(1)
  })

  it('that is too large loses its connection, and the server goes on', async () => {
    const where = path()
    keep(
      await sp.ProtocolServer.listen(where, transport => echo(new sp.PureJsonProtocol(transport)), {
        maxMessage: 1_000,
      }),
    )
    const socket = await raw(where)
    const ended = once(socket, 'close')
    socket.resume()
    socket.write(`:<${'x'.repeat(2_000)}`)
    await ended
    expect(dataOf(await client(where).request(READ, 0, 1))).toBe(1)
  })
})

describe('a peer that never reads', () => {
  it('is not read from any more, and others are served', async () => {
    const where = path()
    const server = await echoServer(where)
    const socket = await raw(where)
    socket.pause()
    const request = Buffer.concat(Array.from({ length: 100 }, () => wire(READ, 0, 'x'.repeat(500))))
    let written = 0
    // As much as the kernel and the server take.
    const isFull = () => socket.writableLength > 1 << 20
    while (!isFull()) {
      socket.write(request)
      written += 100
      await new Promise(resolve => setImmediate(resolve))
      if (written > 200_000) throw new Error('the server reads for ever')
    }
    const device = client(where)
    expect(dataOf(await device.request(READ, 0, 'fine'))).toBe('fine')
    const received = [...server.protocols].map(({ stats }) => stats.received)
    expect(Math.max(...received)).toBeLessThan(20_000)
    socket.destroy()
    await expect.poll(() => server.protocols.size).toBe(1)
  })

  it('gets all its answers when it reads at last, however large they are', async () => {
    const where = path()
    const server = keep(
      await sp.ProtocolServer.listen(
        where,
        transport => {
          const protocol = new sp.PureJsonProtocol(transport)
          protocol.registerCallback(READ, null, () => [0, 'x'.repeat(100_000)])
          return protocol
        },
        { maxQueued: 1_000_000 },
      ),
    )
    const socket = await raw(where)
    socket.pause()
    for (let did = 0; did < 200; did++) socket.write(wire(READ, did))
    await expect.poll(() => [...server.protocols][0]?.stats.received).toBe(200)
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk
    })
    socket.resume()
    await expect.poll(() => heard.match(/"status":=0/g)?.length, { timeout: 20_000 }).toBe(200)
    expect(heard).not.toContain('"status":=2')
    socket.destroy()
  })
})

describe('a peer that is killed', () => {
  it('rejects what was asked, and its successor is found', async () => {
    const where = path()
    const start = async () => {
      const peer = new Peer(process.execPath, [
        testPath('support/children/socket_protocol.mjs'),
        where,
        SECRET,
      ])
      expect(await peer.receive()).toBe('ready')
      return peer
    }
    let peer = await start()
    const device = client(where, { secret: SECRET, autoAuth: true })
    expect((await device.request(sp.SID_WRITE_REQUEST, 1, 'kept')).getStatus()).toBe(0)
    expect(dataOf(await device.request(READ, 1))).toBe('kept')
    const doomed = expect(device.request(EXECUTE, 0)).rejects.toHaveProperty(
      'code',
      'ERR_FDWIRE_CLOSED',
    )
    const gone = once(device, 'disconnect')
    await peer.stop('SIGKILL')
    await doomed
    await gone
    peer = await start()
    expect(dataOf(await device.request(READ, 1, null, { timeout: 10_000 }))).toBe(null)
    await peer.stop()
  })
})

describe('a server that only says that it believes', () => {
  it('cannot make a client hurry: it pauses before it comes back', async () => {
    const where = path()
    let connections = 0
    const impostor: Server = createServer(socket => {
      connections++
      socket.on('error', () => {})
      socket.destroy()
    })
    impostor.listen(where)
    await once(impostor, 'listening')
    const transport = new sp.SocketClient(where, { minDelay: 300_000, maxDelay: 300_000 })
    const device = keep(new sp.PureJsonProtocol(transport, { secret: SECRET, autoAuth: true }))
    await once(device, 'disconnect')
    expect(connections).toBe(1)
    expect(await device.send(READ, 0, null, { timeout: 20 })).toBe(false)
    expect(connections).toBe(1)
    await device.close()
    impostor.close()
  })
})

async function raw(where: string): Promise<Socket> {
  const socket = netConnect(where)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

function duplexPair(): [Duplex, Duplex] {
  const ends: Duplex[] = []
  const make = (other: () => Duplex) =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        other().push(chunk)
        done()
      },
      final(done) {
        other().push(null)
        done()
      },
    })
  ends.push(
    make(() => ends[1] as Duplex),
    make(() => ends[0] as Duplex),
  )
  return ends as [Duplex, Duplex]
}
