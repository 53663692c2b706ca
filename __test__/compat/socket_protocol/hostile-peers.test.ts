/** Peers that send malformed input, do not read, or end unexpectedly, over real sockets. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import { cleanUpAfterEach, Peer, testPath } from '../../support/processes.js'
import {
  closeAfterTest,
  closeProtocolsAfterEach,
  connectRaw,
  dataOf,
  encodeFrame,
  registerEcho,
  SECRET,
  socketPath,
  startClient,
  startEchoServer,
} from '../../support/socket_protocol-sockets.js'

cleanUpAfterEach()
closeProtocolsAfterEach()

const { SID_READ_REQUEST: READ, SID_EXECUTE_REQUEST: EXECUTE } = sp

describe('malformed input of a SocketServer', () => {
  it('is reported, and a request after it is served', async () => {
    const transport = await sp.SocketServer.listen(socketPath())
    const server = registerEcho(closeAfterTest(new sp.PureJsonProtocol(transport)))
    const errors: Error[] = []
    server.on('malformed', error => errors.push(error))
    const socket = await connectRaw(transport.address as string)
    socket.write('noise :> := :<bad :x escape:> :<{}:> :<not even:>')
    socket.write(encodeFrame(READ, 0, 'served'))
    const [response] = await once(socket, 'data')
    expect(String(response)).toContain('"served"')
    expect(errors.map(error => (error as { code?: string }).code)).toEqual([
      'ERR_FDWIRE_BAD_ESCAPE',
      'ERR_FDWIRE_BAD_BODY',
      'ERR_FDWIRE_BAD_CHECKSUM',
    ])
    expect(errors.every(error => !('sample' in error))).toBe(true)
    socket.destroy()
  })

  it('from several peers at random does not disturb other peers', async () => {
    const where = socketPath()
    const server = await startEchoServer(where, { secret: SECRET })
    const sockets = await Promise.all(Array.from({ length: 5 }, () => connectRaw(where)))
    for (const socket of sockets) {
      for (let i = 0; i < 50; i++) {
        socket.write(Buffer.from(':<:=:>').subarray(0, 1 + (i % 6)))
        socket.write(randomBytes(200))
        socket.write(':<')
        socket.write(randomBytes(20).toString('base64'))
        socket.write(':>')
      }
    }
    const device = startClient(where, { secret: SECRET, autoAuth: true })
    expect(dataOf(await device.request(READ, 0, 'served'))).toBe('served')
    await expect.poll(() => server.protocols.size).toBe(6)
    for (const socket of sockets) socket.destroy()
    await expect.poll(() => server.protocols.size).toBe(1)
  })

  it('longer than maxMessage closes the connection of its peer only', async () => {
    const where = socketPath()
    closeAfterTest(
      await sp.ProtocolServer.listen(
        where,
        transport => registerEcho(new sp.PureJsonProtocol(transport)),
        {
          maxMessage: 1_000,
        },
      ),
    )
    const socket = await connectRaw(where)
    const ended = once(socket, 'close')
    socket.resume()
    socket.write(`:<${'x'.repeat(2_000)}`)
    await ended
    expect(dataOf(await startClient(where).request(READ, 0, 1))).toBe(1)
  })
})

describe('a peer that does not read', () => {
  it('is held back while others are served', async () => {
    const where = socketPath()
    const server = await startEchoServer(where)
    const socket = await connectRaw(where)
    socket.pause()
    const request = Buffer.concat(
      Array.from({ length: 100 }, () => encodeFrame(READ, 0, 'x'.repeat(500))),
    )
    let written = 0
    // Writes until the kernel and the server accept no more.
    const isFull = () => socket.writableLength > 1 << 20
    while (!isFull()) {
      socket.write(request)
      written += 100
      await new Promise(resolve => setImmediate(resolve))
      if (written > 200_000) throw new Error('The server does not stop reading')
    }
    const device = startClient(where)
    expect(dataOf(await device.request(READ, 0, 'served'))).toBe('served')
    const received = [...server.protocols].map(({ stats }) => stats.received)
    expect(Math.max(...received)).toBeLessThan(20_000)
    socket.destroy()
    await expect.poll(() => server.protocols.size).toBe(1)
  })

  it('gets all its responses once it reads, although they exceed maxQueued', async () => {
    const where = socketPath()
    const server = closeAfterTest(
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
    const socket = await connectRaw(where)
    socket.pause()
    for (let did = 0; did < 200; did++) socket.write(encodeFrame(READ, did))
    await expect.poll(() => [...server.protocols][0]?.stats.received).toBe(200)
    let received = ''
    socket.on('data', chunk => {
      received += chunk
    })
    socket.resume()
    await expect.poll(() => received.match(/"status":=0/g)?.length, { timeout: 20_000 }).toBe(200)
    expect(received).not.toContain('"status":=2')
    socket.destroy()
  })
})

describe('a killed server process', () => {
  it('rejects the request in flight, and the client connects to its successor', async () => {
    const where = socketPath()
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
    const device = startClient(where, { secret: SECRET, autoAuth: true })
    expect((await device.request(sp.SID_WRITE_REQUEST, 1, 'value')).getStatus()).toBe(0)
    expect(dataOf(await device.request(READ, 1))).toBe('value')
    const rejected = expect(device.request(EXECUTE, 0)).rejects.toHaveProperty(
      'code',
      'ERR_FDWIRE_PEER_CLOSED',
    )
    const disconnected = once(device, 'disconnect')
    await peer.stop('SIGKILL')
    await rejected
    await disconnected
    peer = await start()
    expect(dataOf(await device.request(READ, 1, null, { timeout: 10_000 }))).toBe(null)
    await peer.stop()
  })
})

describe('a server that closes each connection', () => {
  it('cannot make the client reconnect before minDelay', async () => {
    const where = socketPath()
    let connections = 0
    const server: Server = createServer(socket => {
      connections++
      socket.on('error', () => {})
      socket.destroy()
    })
    server.listen(where)
    await once(server, 'listening')
    const transport = new sp.SocketClient(where, { minDelay: 300_000, maxDelay: 300_000 })
    const device = closeAfterTest(
      new sp.PureJsonProtocol(transport, { secret: SECRET, autoAuth: true }),
    )
    await once(device, 'disconnect')
    expect(connections).toBe(1)
    expect(await device.send(READ, 0, null, { timeout: 20 })).toBe(false)
    expect(connections).toBe(1)
    await device.close()
    server.close()
  })
})
