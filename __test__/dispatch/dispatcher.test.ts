/** A dispatcher passes connections on to workers, and loses none. */
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import tls from 'node:tls'
import { pair } from 'fdwire'
import { type Connection, Dispatcher, receiveConnections } from 'fdwire/dispatch'
import { describe, expect, it } from 'vitest'
import {
  accepted,
  afterTest,
  channels,
  client,
  eventually,
  front,
  httpServer,
  localWorker,
  received,
} from '../support/dispatch.js'
import { get } from '../support/http.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const REQUEST = 'GET /first HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'

describe('attach', () => {
  it('deals the connections of a server out in turn', async () => {
    const { dispatcher, port } = await front()
    for (const name of ['a', 'b', 'c']) dispatcher.add(localWorker(name).channel)
    const names = []
    for (let i = 0; i < 6; i++) names.push((await get(port)).split(' ')[0])
    expect(names).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
  })

  it('takes a server that listens already, and leaves it its address and close()', async () => {
    const server = net.createServer(() => expect.unreachable())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const dispatcher = new Dispatcher()
    afterTest(() => dispatcher.close())
    dispatcher.attach(server).add(localWorker('a').channel)
    expect((server.address() as AddressInfo).port).toBe(port)
    expect(await get(port, '/x')).toBe('a GET /x')
    server.close()
    await once(server, 'close')
    await expect(get(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    expect(() => dispatcher.attach(net.createServer())).not.toThrow()
  })

  it('takes the connections of a server on a Unix path, which stays bound', async () => {
    const dispatcher = new Dispatcher()
    afterTest(() => dispatcher.close())
    const server = http.createServer(() => expect.unreachable())
    const path = join(temporaryDirectory(), 'http.sock')
    server.listen(path)
    await once(server, 'listening')
    dispatcher.attach(server).add(localWorker('a').channel)
    for (let i = 0; i < 3; i++) {
      const [response] = await once(
        http.get({ socketPath: path, path: '/unix', agent: false }),
        'response',
      )
      expect(await text(response)).toBe('a GET /unix')
    }
  })

  it('leaves connections in the backlog while there is no worker', async () => {
    const { dispatcher, port } = await front()
    const responses = [get(port), get(port)]
    const early = await client(port)
    expect(dispatcher.waiting).toBe(0)
    dispatcher.add(localWorker('late').channel)
    expect(await Promise.all(responses)).toEqual(['late GET /', 'late GET /'])
    early.write(REQUEST)
    expect(await received(early)).toContain('late GET /first')
  })

  it('is refused for a server that is attached, and for other values', async () => {
    const { dispatcher, server } = await front()
    expect(() => dispatcher.attach(server)).toThrow('attached already')
    expect(() => dispatcher.attach({} as never)).toThrow(/takes a net.Server, not an object/)
    dispatcher.close()
    expect(() => dispatcher.attach(net.createServer())).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_CLOSED' }),
    )
  })
})

describe('dispatch', () => {
  it('passes on a net.Socket with what Node and the program have read from it', async () => {
    const dispatcher = new Dispatcher()
    afterTest(() => dispatcher.close())
    dispatcher.add(localWorker('a').channel)
    const { socket, connection } = await accepted(REQUEST)
    const [chunk] = (await once(connection, 'readable').then(() => [connection.read(9)])) as [
      Buffer,
    ]
    expect(String(chunk)).toBe('GET /firs')
    dispatcher.dispatch(connection, { head: chunk })
    expect(await received(socket)).toMatch(/a GET \/first$/)
    expect(connection.destroyed).toBe(true)
  })

  it('passes on a descriptor, with meta for the worker', async () => {
    const dispatcher = new Dispatcher()
    afterTest(() => dispatcher.close())
    const [ours, theirs] = channels()
    const server = httpServer('a')
    const metas: unknown[] = []
    const order: string[] = []
    server.on('connection', () => order.push('connection'))
    receiveConnections(theirs, server, {
      onMeta: (meta, socket) => {
        order.push('meta')
        metas.push(meta, socket instanceof net.Socket)
      },
    })
    dispatcher.add(ours)
    const [one, other] = pair({ protocol: 'raw', type: 'stream' })
    const descriptor = one.detach()
    dispatcher.dispatch(descriptor, { meta: { user: 'é', n: [1, null] } })
    other.send(Buffer.from(REQUEST))
    expect(String((await other.receive())?.value)).toContain('a GET /first')
    other.destroy()
    expect(metas).toEqual([{ user: 'é', n: [1, null] }, true])
    expect(order).toEqual(['meta', 'connection'])
  })

  it('leaves the connection to the caller if it throws', async () => {
    const dispatcher = new Dispatcher()
    const { socket, connection } = await accepted(REQUEST, { pauseOnConnect: true })
    const file = openSync('/dev/null', 'r')
    const circular: Record<string, unknown> = {}
    circular.self = circular
    const wrong: [unknown, object | undefined, object][] = [
      [connection, { head: 'text' }, TypeError],
      [connection, { meta: () => {} }, TypeError],
      [connection, { meta: circular }, TypeError],
      [connection, { other: 1 }, TypeError],
      [null, undefined, TypeError],
      ['3', undefined, TypeError],
      [-1, undefined, RangeError],
      [file, undefined, Error],
      [connection, null as never, TypeError],
    ]
    for (const [value, options, error] of wrong) {
      expect(() => dispatcher.dispatch(value as never, options as never)).toThrow(error as never)
    }
    closeSync(file)
    const secure = new tls.TLSSocket(new net.Socket())
    expect(() => dispatcher.dispatch(secure)).toThrow(/does not take a TLSSocket/)
    secure.destroy()
    dispatcher.close()
    expect(() => dispatcher.dispatch(connection)).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_CLOSED' }),
    )
    connection.resume().end('still here')
    expect(await received(socket)).toBe('still here')
  })
})

describe('the options', () => {
  it('are checked', () => {
    for (const [options, message] of [
      [
        { pick: 'random' },
        "pick must be 'round-robin', 'least-connections' or a function, not 'random'",
      ],
      [{ peek: -1 }, 'peek must be an integer from 0 to 16384, not -1'],
      [{ peek: 20_000 }, 'peek must be an integer from 0 to 16384, not 20000'],
      [{ peekTimeout: 'x' }, /must be a number, not 'x'/],
      [{ maxWaiting: 0 }, /maxWaiting must be an integer from 1/],
      [{ workers: 2 }, /Dispatcher has no option workers: it has pick, peek/],
    ] as const) {
      expect(() => new Dispatcher(options as never)).toThrow(message)
    }
  })

  it('of a channel are checked by add and receiveConnections', () => {
    const dispatcher = new Dispatcher()
    const server = httpServer('a')
    const noFds = channels({ protocol: 'length_prefixed', type: 'stream', encoding: 'json' })[0]
    const raw = channels({ protocol: 'raw', type: 'stream', maxFds: 8 })[0]
    for (const use of [
      (channel: never) => dispatcher.add(channel),
      (channel: never) => receiveConnections(channel, server),
    ]) {
      expect(() => use(noFds as never)).toThrow(/carries descriptors: .*maxFds/)
      expect(() => use(raw as never)).toThrow(/carries JSON, text or Buffers, not raw/)
      expect(() => use({} as never)).toThrow(/takes a channel, not an object/)
    }
    const [channel, other] = channels()
    expect(() => receiveConnections(other, {} as never)).toThrow(/net, http or https server/)
    expect(() => receiveConnections(other, server, { onMeta: 1 } as never)).toThrow(
      /onMeta must be/,
    )
    dispatcher.add(channel)
    expect(() => dispatcher.add(channel)).toThrow(/added already/)
    expect(dispatcher.workers).toHaveLength(1)
    const [closed] = channels()
    closed.destroy()
    expect(() => dispatcher.add(closed)).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_CLOSED' }),
    )
  })
})

describe.each([
  ['seqpacket', { protocol: 'jsoncomm', type: 'seqpacket' }],
  ['dgram', { protocol: 'jsoncomm', type: 'dgram' }],
  [
    'a stream of JSON',
    { protocol: 'length_prefixed', encoding: 'json', type: 'stream', maxFds: 5 },
  ],
  ['a stream of text', { protocol: 'lines', type: 'stream', maxFds: 253 }],
  ['a stream of Buffers', { protocol: 'msg_channel', type: 'stream', maxFds: 64 }],
])('over %s', (_, options) => {
  it('every connection of many at once gets its response', async () => {
    const { dispatcher, port } = await front()
    const workers = ['a', 'b'].map(name => localWorker(name, options))
    for (const { channel } of workers) dispatcher.add(channel)
    const bodies = await Promise.all(Array.from({ length: 150 }, (_, i) => get(port, `/${i}`)))
    expect(bodies.map(body => body.slice(2))).toEqual(bodies.map((_, i) => `GET /${i}`))
    await eventually(() =>
      expect(dispatcher.workers.map(({ connections }) => connections)).toEqual([0, 0]),
    )
  })
})

describe('pick', () => {
  it('chooses by the address of the peer, and gets no bytes without peek', async () => {
    const seen: [Connection, Buffer][] = []
    const { dispatcher, port } = await front({
      pick: (connection, head) => {
        seen.push([connection, head])
        expect([connection.remoteAddress, connection.remoteFamily]).toEqual(['127.0.0.1', 'IPv4'])
        expect([connection.localAddress, connection.localPort]).toEqual(['127.0.0.1', port])
        return dispatcher.workers[Number(connection.remotePort) % 2]
      },
    })
    for (const name of ['0', '1']) dispatcher.add(localWorker(name).channel)
    for (let i = 0; i < 4; i++) {
      const socket = await client(port, REQUEST)
      const { localPort } = socket
      expect(await received(socket)).toContain(`${Number(localPort) % 2} GET /first`)
    }
    expect(seen.map(([, head]) => head.length)).toEqual([0, 0, 0, 0])
  })

  it('closes the connection if it returns undefined, throws, or returns another value', async () => {
    const error = new Error('pick')
    const results = [
      () => undefined,
      () => {
        throw error
      },
      () => 'worker' as never,
    ]
    const { dispatcher, port } = await front({ pick: () => results.shift()?.() })
    dispatcher.add(localWorker('a').channel)
    const drops: unknown[] = []
    dispatcher.on('drop', dropped => drops.push(dropped))
    for (let i = 0; i < 3; i++) expect(await received(await client(port))).toBe('')
    expect(drops).toEqual([
      { reason: 'pick' },
      { reason: 'pick', error },
      { reason: 'pick', error: expect.any(TypeError) },
    ])
  })

  it('least-connections chooses the worker with the fewest, as the workers report', async () => {
    const { dispatcher, port } = await front({ pick: 'least-connections' })
    const held: net.Socket[] = []
    const workers = ['a', 'b'].map(name => localWorker(name))
    for (const { channel } of workers) dispatcher.add(channel)
    const nameOf = async () => {
      const socket = await client(port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      held.push(socket)
      const [chunk] = await once(socket, 'data')
      return /\r\n(.) GET/.exec(String(chunk))?.[1]
    }
    const first = await nameOf()
    const second = await nameOf()
    expect([first, second].sort()).toEqual(['a', 'b'])
    // The first worker gets the next two, since its connections end.
    for (let i = 0; i < 2; i++) {
      const at = [first, second].indexOf(first)
      held[i === 0 ? at : held.length - 1]?.destroy()
      await eventually(() => {
        const counts = dispatcher.workers.map(({ connections }) => connections)
        expect(counts.sort()).toEqual([0, 1])
      })
      expect(await nameOf()).toBe(first)
    }
  })
})
