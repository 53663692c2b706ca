/** A dispatcher looks at the first bytes of connections, and leaves them to the worker. */
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { Dispatcher } from 'fdwire/dispatch'
import { describe, expect, it } from 'vitest'
import {
  accepted,
  afterTest,
  client,
  eventually,
  front,
  localWorker,
  received,
} from '../support/dispatch.js'
import { get } from '../support/http.js'
import { countOpenFds } from '../support/processes.js'

const request = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`

/** Makes a front that picks the worker by the first letter of the path. */
async function byPath(options: object = {}) {
  const heads: string[] = []
  const { dispatcher, port } = await front({
    peek: 6,
    ...options,
    pick: (_, head) => {
      heads.push(String(head))
      const index = 'ab'.indexOf(/^GET \/(.)/.exec(String(head))?.[1] ?? '?')
      return dispatcher.workers[index]
    },
  })
  for (const name of ['a', 'b']) dispatcher.add(localWorker(name).channel)
  return { dispatcher, port, heads }
}

describe('peek', () => {
  it('gives pick the first bytes, which the worker reads again', async () => {
    const { port, heads } = await byPath()
    for (const path of ['/abc', '/bcd', '/axe']) {
      expect(await get(port, path)).toBe(`${path[1]} GET ${path}`)
    }
    for (const head of heads) expect(head).toMatch(/^GET \/\w/)
  })

  it('waits until enough bytes have arrived, however they are cut', async () => {
    const { port, heads } = await byPath()
    const socket = await client(port)
    socket.setNoDelay()
    for (const byte of request('/bee').slice(0, 5)) {
      socket.write(byte)
      // A whole connection in between: the bytes before have arrived.
      expect(await get(port, '/a')).toBe('a GET /a')
    }
    expect(heads).toHaveLength(5)
    socket.write(request('/bee').slice(5))
    expect(await received(socket)).toContain('b GET /bee')
  })

  it('calls pick with what there is when the client ends, and closes silent connections at peekTimeout', async () => {
    const { dispatcher, port, heads } = await byPath({ peekTimeout: 100 })
    const drops: unknown[] = []
    dispatcher.on('drop', ({ reason }) => drops.push(reason))
    const before = countOpenFds()
    const short = await client(port)
    short.end('GE')
    expect(await received(short)).toBe('')
    expect(heads).toEqual(['GE'])
    const silent = await Promise.all(Array.from({ length: 20 }, () => client(port)))
    for (const socket of silent) expect(await received(socket)).toBe('')
    expect(heads.slice(1)).toEqual(silent.map(() => ''))
    expect(drops).toHaveLength(21)
    await eventually(() => expect(countOpenFds()).toBeLessThanOrEqual(before))
    expect(await get(port, '/a')).toBe('a GET /a')
  })

  it('of a connection that is reset leaves nothing open', async () => {
    const { port } = await byPath()
    const before = countOpenFds()
    for (let i = 0; i < 10; i++) (await client(port, 'GE')).resetAndDestroy()
    expect(await get(port, '/b')).toBe('b GET /b')
    await eventually(() => expect(countOpenFds()).toBeLessThanOrEqual(before))
  })

  it('counts the head of dispatch', async () => {
    const { dispatcher, heads } = await byPath()
    const { socket, connection } = await accepted('GET ')
    await once(connection, 'readable')
    dispatcher.dispatch(connection)
    socket.write(request('/axis').slice(4))
    expect(await received(socket)).toContain('a GET /axis')
    expect(heads[0]).toMatch(/^GET \/a/)
  })

  it('ends when the dispatcher is closed, twice', async () => {
    const before = countOpenFds()
    const { dispatcher, port } = await byPath({ peekTimeout: 0 })
    const sockets = await Promise.all(Array.from({ length: 5 }, () => client(port, 'GE')))
    // One more, whose response shows that the others were accepted.
    expect(await get(port, '/a')).toBe('a GET /a')
    const closed = sockets.map(received)
    dispatcher.close()
    dispatcher.close()
    expect(dispatcher.closed).toBe(true)
    expect(await Promise.all(closed)).toEqual(sockets.map(() => ''))
    await eventually(() => expect(countOpenFds()).toBeLessThanOrEqual(before + 4))
  })

  it('without a function lets the built-in strategies wait as well', async () => {
    const dispatcher = new Dispatcher({ peek: 1, pick: 'least-connections' })
    afterTest(() => dispatcher.close())
    const server = net.createServer()
    dispatcher.attach(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const worker = dispatcher.add(localWorker('a').channel)
    await client(port)
    expect(await get(port, '/x')).toBe('a GET /x')
    await eventually(() => expect(worker.connections).toBe(0))
  })
})
