import { execFile } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { FdSet, pair } from 'fdwire'
import { afterAll, describe, expect, it } from 'vitest'
import { receivedFdSet } from '../support/channels.js'
import { waitUntil } from '../support/streams.js'

const dir = mkdtempSync(join(tmpdir(), 'fdwire-to-node-'))
afterAll(() => rmSync(dir, { recursive: true }))

const GONE = expect.objectContaining({ code: 'ERR_FDWIRE_FD_GONE' })
const FD_KIND = expect.objectContaining({ code: 'ERR_FDWIRE_FD_KIND', fault: 'caller' })

let names = 0
const path = () => join(dir, `${names++}`)
const isClosed = (fd: number) => {
  try {
    fstatSync(fd)
    return false
  } catch {
    return true
  }
}

/** Connects a net.Socket to a server in this process. */
async function connectedSockets(where: net.ListenOptions) {
  const server = net.createServer().listen(where)
  await once(server, 'listening')
  const address = server.address()
  const client = net.connect(
    typeof address === 'string' ? { path: address } : { port: (address as net.AddressInfo).port },
  )
  const [[served]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
  return { client, served: served as net.Socket, server }
}

/** Closes sockets and servers and waits until they are closed. */
const closeAll = async (...closing: (net.Socket | net.Server | dgram.Socket)[]) => {
  await Promise.all(
    closing.map(one => {
      const closed = once(one, 'close')
      if (one instanceof net.Socket) one.destroy()
      else one.close()
      return closed
    }),
  )
}

describe.each([
  ['Unix stream', () => ({ path: path() })],
  ['TCP', () => ({ port: 0, host: '127.0.0.1' })],
])('a connected %s socket', (_, where) => {
  it('becomes a net.Socket that owns the descriptor', async () => {
    const { client, served, server } = await connectedSockets(where())
    const fds = await receivedFdSet(client)
    const socket = fds.toSocket(0)
    expect(() => fds.get(0)).toThrow(GONE)
    fds.close()
    socket.write('through the copy')
    expect(String((await once(served, 'data'))[0])).toBe('through the copy')
    served.write('and back')
    expect(String((await once(socket, 'data'))[0])).toBe('and back')
    await closeAll(client, served, socket, server)
  })

  it('becomes a stream for one direction', async () => {
    const { client, served, server } = await connectedSockets(where())
    const fds = await receivedFdSet(served, client)
    await closeAll(client, served)
    const reader = fds.toReadStream(0, { encoding: 'utf8' })
    const writer = fds.toWriteStream(1)
    writer.end('one way')
    expect(await text(reader)).toBe('one way')
    await finished(writer)
    fds.close()
    await closeAll(server)
  })

  it('is rejected by toServer and toDatagram, and stays in the set', async () => {
    const { client, served, server } = await connectedSockets(where())
    using fds = await receivedFdSet(client)
    expect(() => fds.toServer(0)).toThrow(FD_KIND)
    expect(() => fds.toDatagram(0)).toThrow(/toSocket takes it/)
    expect(fds.kind(0)).toMatch(/^(unix-stream|tcp-socket)$/)
    await closeAll(client, served, server)
  })

  it('stays in the set if fdwire or Node rejects an option', async () => {
    const { client, served, server } = await connectedSockets(where())
    const fds = await receivedFdSet(client)
    const fd = fds.get(0)
    expect(() => fds.toSocket(0, { highWaterMark: -1 })).toThrow(TypeError)
    expect(() => fds.toSocket(0, { signal: {} as AbortSignal })).toThrow(TypeError)
    expect(() => fds.toSocket(0, { fd: 1 } as object)).toThrow(/no option fd/)
    expect(() => fds.toReadStream(0, { start: 0 })).toThrow(/no option start/)
    expect(() => fds.toSocket(0, { signal: AbortSignal.abort() })).toThrow(
      expect.objectContaining({ name: 'AbortError' }),
    )
    expect(isClosed(fd)).toBe(false)
    fds.close()
    await waitUntil(() => isClosed(fd))
    await closeAll(client, served, server)
  })

  it('is closed together with its net.Socket when the signal is aborted', async () => {
    const { client, served, server } = await connectedSockets(where())
    const fds = await receivedFdSet(client)
    const controller = new AbortController()
    const socket = fds.toSocket(0, { signal: controller.signal })
    const ended = expect(finished(socket)).rejects.toMatchObject({ name: 'AbortError' })
    controller.abort()
    await ended
    await closeAll(client, served, server)
  })
})

describe.each([
  // An abstract name, because the original server unlinks a path when it closes.
  ['Unix', () => ({ path: `\0fdwire-${process.pid}-${names++}` }), 'unix-listener'],
  ['TCP', () => ({ port: 0, host: '127.0.0.1' }), 'tcp-listener'],
])('a listening %s socket', (_, where, kind) => {
  const listening = async () => {
    const server = net.createServer().listen(where())
    await once(server, 'listening')
    const address = server.address()
    const fds = await receivedFdSet(server)
    const to = typeof address === 'string' ? { path: address } : (address as net.AddressInfo)
    return { server, fds, connect: () => net.connect(to as net.NetConnectOpts) }
  }

  it('becomes a listening net.Server', async () => {
    const { server: original, fds, connect } = await listening()
    expect(fds.kind(0)).toBe(kind)
    await closeAll(original)
    const server = fds.toServer(0, { backlog: 5 }, socket => socket.end('hi'))
    expect(server.listening).toBe(true)
    await once(server, 'listening')
    expect(() => fds.get(0)).toThrow(GONE)
    expect(await text(connect())).toBe('hi')
    await closeAll(server)
  })

  it('can be passed to an existing server, such as an http.Server', async () => {
    const { server: original, fds, connect } = await listening()
    const server = http.createServer((_, response) => response.end('by http'))
    await closeAll(original)
    expect(fds.toServer(0, { server })).toBe(server)
    const client = connect()
    client.end('GET / HTTP/1.0\r\n\r\n')
    expect(await text(client)).toMatch(/^HTTP\/1.1 200 OK.*by http$/s)
    await closeAll(server)
  })

  it('stays in the set if the server or an option is invalid', async () => {
    const { server, fds } = await listening()
    expect(() => fds.toServer(0, { server })).toThrow(/listening already/)
    expect(() => fds.toServer(0, { server: {} as net.Server })).toThrow(TypeError)
    expect(() => fds.toServer(0, { backlog: -1 })).toThrow(RangeError)
    expect(() => fds.toServer(0, { keepAliveInitialDelay: 'x' as never })).toThrow(TypeError)
    expect(() => fds.toSocket(0)).toThrow(/toServer takes it/)
    fds.close()
    await closeAll(server)
  })
})

describe('toServer in a node:cluster worker', () => {
  it("listens on the received descriptor instead of the primary's", async () => {
    const child = fileURLToPath(new URL('../support/children/to-node-cluster.mjs', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [child])
    expect(stdout).toBe('unix: from the worker\ntcp: from the worker\n')
  })
})

const hasIPv6 = Object.values(networkInterfaces()).some(list =>
  list?.some(({ family, internal }) => internal && family === 'IPv6'),
)

describe.each([
  ['udp4', '127.0.0.1', true],
  ['udp6', '::1', hasIPv6],
] as const)('a %s socket', (type, host, possible) => {
  const boundSocket = async () => {
    const socket = dgram.createSocket(type)
    socket.bind(0, host)
    await once(socket, 'listening')
    return socket
  }

  it.runIf(possible)('becomes a dgram.Socket of its family that can send and receive', async () => {
    const original = await boundSocket()
    const fds = await receivedFdSet(original)
    const socket = fds.toDatagram(0)
    expect(() => fds.get(0)).toThrow(GONE)
    expect(socket.address()).toEqual(original.address())
    await closeAll(original)
    const other = await boundSocket()
    other.send('ping', socket.address().port, host)
    const [ping, from] = await once(socket, 'message')
    socket.send(`${ping} pong`, from.port, from.address)
    expect(String((await once(other, 'message'))[0])).toBe('ping pong')
    socket.connect(other.address().port, host)
    await once(socket, 'connect')
    socket.send('connected')
    expect(String((await once(other, 'message'))[0])).toBe('connected')
    await closeAll(socket, other)
  })

  it.runIf(possible)('stays in the set if an option is invalid', async () => {
    const original = await boundSocket()
    const fds = await receivedFdSet(original)
    expect(() => fds.toDatagram(0, { lookup: 1 as never })).toThrow(TypeError)
    expect(() => fds.toDatagram(0, { recvBufferSize: -1 })).toThrow()
    expect(() => fds.toDatagram(0, { port: 1 } as object)).toThrow(/no option port/)
    expect(() => fds.toSocket(0)).toThrow(/toDatagram takes it/)
    expect(fds.kind(0)).toBe('udp-socket')
    fds.close()
    await closeAll(original)
  })
})

describe('a Unix datagram socket', () => {
  it('is rejected with a hint at adopt()', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    using fds = await receivedFdSet(a)
    expect(fds.kind(0)).toBe('unix-dgram')
    expect(() => fds.toDatagram(0)).toThrow(/adopt\(\)/)
    expect(() => fds.toReadStream(0)).toThrow(/adopt\(\)/)
    await Promise.all([a.close(), b.close()])
  })
})

describe('a taken entry', () => {
  it('is rejected by every to… method', () => {
    const fds = FdSet.from([openSync('/dev/null', 'r')])
    closeSync(fds.take(0))
    for (const method of [
      'toSocket',
      'toServer',
      'toDatagram',
      'toReadStream',
      'toWriteStream',
    ] as const) {
      expect(() => fds[method](0)).toThrow(GONE)
      expect(() => fds[method](1)).toThrow(RangeError)
    }
    fds.close()
  })
})
