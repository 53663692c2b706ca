/** What the vocabulary of msg_channel promises, against hostile peers and an independent one. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect as dial, type Socket } from 'node:net'
import { join } from 'node:path'
import { listen, over, pair } from 'fdwire'
import { Channel, type ListeningOptions } from 'fdwire/msg_channel'
import { describe, expect, it, vi } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../../support/processes.js'
import {
  afterTest,
  nodeSocketPair,
  patternBytes,
  rawStreamPair,
  runCleanupsAfterEach,
} from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MSG = { protocol: 'msg_channel' } as const
const HOST = '127.0.0.1'
const MIB = 1024 * 1024
const SIZES = [0, 1, 9, 10, 99, 100, 255, 65_535, 65_536, MIB]

/** Listens, until the test is over. */
async function listening(options?: ListeningOptions) {
  const clients = await Channel.listen(HOST, 0, options)
  afterTest(() => clients.close())
  return clients
}

/** Who has connected, and who was accepted. */
async function connected(options?: ListeningOptions): Promise<[Channel, Channel]> {
  const clients = await listening(options)
  const [client, { value }] = await Promise.all([
    Channel.connect(HOST, clients.port),
    clients.next(),
  ])
  track(client.channel)
  track((value as Channel).channel)
  return [client, value as Channel]
}

/** A peer that writes any bytes, and who gets them. */
async function raw(): Promise<[Socket, Channel]> {
  const clients = await listening()
  const socket = dial(clients.port, HOST)
  afterTest(() => socket.destroy())
  socket.on('error', () => {})
  const { value } = await clients.next()
  track((value as Channel).channel)
  return [socket, value as Channel]
}

async function all(channel: Channel): Promise<Buffer[]> {
  const values: Buffer[] = []
  for await (const value of channel.iterRecv()) values.push(value)
  return values
}

describe('a message', () => {
  it.each(SIZES)('of %i bytes comes whole, both ways', async size => {
    const [client, server] = await connected()
    const bytes = patternBytes(size)
    await Promise.all([client.send(bytes), server.send(bytes)])
    expect((await server.recv())?.equals(bytes)).toBe(true)
    expect((await client.recv())?.equals(bytes)).toBe(true)
  })

  it('may be a text or any view, and comes as a Buffer', async () => {
    const [client, server] = await connected()
    await client.send('naïve 😀')
    await client.send(new Uint16Array([0x4241, 0x4443]))
    expect([String(await server.recv()), String(await server.recv())]).toEqual(['naïve 😀', 'ABCD'])
    for (const wrong of [5, null, undefined, {}]) {
      await expect(client.send(wrong as never)).rejects.toThrow(TypeError)
    }
    await client.send('after')
    expect(String(await server.recv())).toBe('after')
  })

  it('that looks like a frame is one message', async () => {
    const [socket, channel] = await raw()
    await channel.send('\r\nMSG 1\r\nx')
    const [wire] = await once(socket, 'data')
    expect(String(wire)).toBe('\r\nMSG 10\r\n\r\nMSG 1\r\nx')
    socket.write(wire)
    expect(String(await channel.recv())).toBe('\r\nMSG 1\r\nx')
  })

  it('comes whole byte by byte', async () => {
    const [socket, channel] = await raw()
    socket.setNoDelay()
    const received = Promise.all([channel.recv(), channel.recv(), channel.recv()])
    for (const byte of Buffer.from('\r\nMSG 2\r\nhi\r\nMSG 0\r\n\r\nMSG 3\r\nend')) {
      await new Promise(resolve => socket.write(Buffer.from([byte]), resolve))
    }
    expect((await received).map(String)).toEqual(['hi', '', 'end'])
  })

  it('keeps its place among sends at the same time, whatever their sizes', async () => {
    const [client, server] = await connected()
    const values = Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat((i % 7) * 20_000)}`)
    const sent = Promise.all(values.map(value => client.send(value)))
    for (const value of values) {
      const got = String(await server.recv())
      if (got !== value) expect(got.slice(0, 20)).toBe(value.slice(0, 20))
    }
    await sent
  })

  it('goes to those who wait in the order of their calls', async () => {
    const [client, server] = await connected()
    const got = Promise.all(Array.from({ length: 5 }, () => server.recv()))
    for (let i = 0; i < 5; i++) await client.send(`${i}`)
    expect((await got).map(String)).toEqual(['0', '1', '2', '3', '4'])
  })
})

describe('what is no frame', () => {
  it.each([
    'XXMSG 2\r\nhi',
    '\r\nMSG 2\nhi',
    '\r\n  MSG 2  \r\nhi',
    '\r\nMSG +2\r\nhi',
    '\r\nMSG -1\r\nhi',
    '\r\nMSG \r\nhi',
    '\r\nMSG 2 3\r\nhi',
    '\r\nMSG\t2\r\nhi',
    '\r\nmsg 2\r\nhi',
    '\r\nMSG 0x2\r\nhi',
    '\r\nMSG 99999999999999999999\r\nhi',
    '\r\n\r\nMSG 2\r\nhi',
  ])('ends the connection, with its bytes: %j', async text => {
    const [socket, channel] = await raw()
    socket.write(`\r\nMSG 4\r\ngood${text}`)
    expect(String(await channel.recv())).toBe('good')
    await expect(channel.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_BAD_HEADER'))
    const { sample } = (await channel.recv().catch(error => error)) as { sample: Buffer }
    expect(text.includes(sample.toString('latin1').slice(0, 1))).toBe(true)
    await expect(channel.send('x')).rejects.toEqual(errorWithCode('ERR_FDWIRE_BAD_HEADER'))
  })

  it('is larger than maxMessage', async () => {
    const [client, server] = await connected({ maxMessage: 10 })
    await client.send('x'.repeat(10))
    expect((await server.recv())?.length).toBe(10)
    await client.send('x'.repeat(11))
    await expect(server.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_MESSAGE_TOO_LARGE'))
  })
})

describe('the end', () => {
  it('between two messages is null for recv, and the end of iterRecv', async () => {
    const [client, server] = await connected()
    await client.send('one')
    const closing = client.close()
    expect((await all(server)).map(String)).toEqual(['one'])
    await closing
    expect([await server.recv(), await server.recv()]).toEqual([null, null])
  })

  it('in the middle of one is an error, which says what was missing', async () => {
    const [socket, channel] = await raw()
    socket.end('\r\nMSG 3\r\none\r\nMSG 10\r\nhalf')
    const got: string[] = []
    const iterate = async () => {
      for await (const value of channel.iterRecv()) got.push(String(value))
    }
    const cut = { code: 'ERR_FDWIRE_CUT_SHORT', missing: 6 }
    await expect(iterate()).rejects.toEqual(expect.objectContaining(cut))
    expect(got).toEqual(['one'])
  })

  it('of a peer that is killed in mid-message is an error for who asks, and for nobody else', async () => {
    const clients = await listening()
    const peer = new Peer('python3', ['-B', testPath('support/peers/msg_channel.py')])
    await peer.request({ op: 'connect', port: clients.port })
    const channel = (await clients.next()).value as Channel
    track(channel.channel)
    const hex = Buffer.from('\r\nMSG 1\r\na\r\nMSG 100\r\nx').toString('hex')
    await peer.request({ op: 'raw', hex })
    expect(String(await channel.recv())).toBe('a')
    await peer.stop()
    // It happens while nobody waits.
    while (!channel.channel.closed) await loopTurns(1)
    await expect(channel.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CUT_SHORT'))
    await expect(channel.send('x')).rejects.toEqual(errorWithCode('ERR_FDWIRE_CUT_SHORT'))
  })

  it('by close() comes when all is sent, also for a loop over it', async () => {
    const [client, server] = await connected()
    const bytes = patternBytes(3 * MIB)
    const sent = client.send(bytes)
    const closing = client.close()
    const got: Buffer[] = []
    for await (const value of server.iterRecv()) {
      got.push(value)
      await server.close()
    }
    await Promise.all([sent, closing])
    expect(got.length === 1 && got[0]?.equals(bytes)).toBe(true)
    await expect(client.send('late')).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    await expect(client.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(await all(client)).toEqual([])
  })

  it('is not waited for by recv with a time limit or a signal', async () => {
    const [, server] = await connected()
    await expect(server.recv({ timeout: 5 })).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    const signal = AbortSignal.abort()
    await expect(server.recv({ signal })).rejects.toThrow(
      expect.objectContaining({ code: 'ABORT_ERR' }),
    )
  })

  it('of a loop by break closes nothing, and takes nothing', async () => {
    const [client, server] = await connected()
    await client.send('1')
    await client.send('2')
    for await (const value of server.iterRecv()) {
      expect(String(value)).toBe('1')
      break
    }
    expect(String(await server.recv())).toBe('2')
  })
})

describe('listen', () => {
  it('goes on for client after client, and tells where; break closes it', async () => {
    const opening = Channel.listen(HOST, 0)
    const { port, host, listener } = await opening
    expect([port > 0, host]).toEqual([true, HOST])
    const callers = await Promise.all([1, 2, 3].map(() => Channel.connect(HOST, port)))
    for (const caller of callers) track(caller.channel)
    const clients: Channel[] = []
    for await (const client of opening) {
      track(client.channel)
      if (clients.push(client) === 3) break
    }
    expect(clients.map(client => client.port).sort()).toEqual(
      callers.map(({ channel }) => (channel.localAddress as { port: number }).port).sort(),
    )
    expect(clients.map(client => client.ip)).toEqual([HOST, HOST, HOST])
    expect(callers.map(caller => caller.port)).toEqual([port, port, port])
    expect(listener.closed).toBe(true)
    await expect(Channel.connect(HOST, port)).rejects.toEqual(errorWithCode('ECONNREFUSED'))
    // Those who were accepted live on.
    await Promise.all(clients.map(client => client.send('alive')))
    for (const caller of callers) expect(String(await caller.recv())).toBe('alive')
  })

  it('ends for who waits when it is closed', async () => {
    const opening = Channel.listen(HOST, 0)
    const waiting = opening.next()
    await opening.close()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(await opening.next()).toEqual({ done: true, value: undefined })
  })

  it('shares its port with others unless reuse is false', async () => {
    const first = await listening()
    const second = await Channel.listen(HOST, first.port)
    expect(second.port).toBe(first.port)
    await second.close()
    const alone = await listening({ reuse: false })
    const iterate = async () => {
      for await (const client of Channel.listen(HOST, alone.port)) track(client.channel)
    }
    await expect(iterate()).rejects.toEqual(errorWithCode('EADDRINUSE'))
    await expect(Channel.listen(HOST, alone.port)).rejects.toEqual(errorWithCode('EADDRINUSE'))
  })

  it('prints who connects with echo: true, tells a function, or says nothing', async () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {})
    try {
      const [silent] = await connected()
      expect(silent.ip).toBe(HOST)
      expect(log).not.toHaveBeenCalled()
      const [client] = await connected({ echo: true })
      const { port } = client.channel.localAddress as { port: number }
      expect(log.mock.calls).toEqual([[`Client connected: ${HOST}:${port}`]])
      const told: unknown[] = []
      const [, server] = await connected({ echo: one => told.push(one) })
      expect(told).toEqual([server])
      expect(log).toHaveBeenCalledTimes(1)
    } finally {
      log.mockRestore()
    }
  })

  it('has no options that are decided already', async () => {
    const wrong = { encoding: 'json' } as object
    await expect(Channel.listen(HOST, 0, wrong)).rejects.toThrow(/no option encoding/)
    await expect(Channel.connect(HOST, 1, wrong)).rejects.toThrow(/no option encoding/)
    await expect(Channel.listen(HOST, 0, { reuse: 1 } as object)).rejects.toThrow(/reuse must be/)
    await expect(Channel.listen(HOST, 0, { echo: 1 } as object)).rejects.toThrow(/echo must be/)
    await expect(Channel.connect(HOST, 1, { echo: true } as object)).rejects.toThrow(/echo/)
  })
})

describe('over', () => {
  it('any channel of msg_channel: a pair, a path, a Duplex', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const listener = await listen(path, MSG)
    afterTest(() => listener.close())
    const [near, far] = await nodeSocketPair()
    for (const channel of [pair(MSG)[0], over(near, MSG)]) {
      const one = Channel.over(track(channel))
      expect(one.channel).toBe(channel)
    }
    far.write('\r\nMSG 2\r\nhi')
    const [bytes, channel] = rawStreamPair(MSG)
    const one = Channel.over(channel as never)
    expect([one.ip, one.port]).toEqual([undefined, undefined])
    bytes.send(Buffer.from('\r\nMSG 2\r\nhi'))
    expect(String(await one.recv())).toBe('hi')
    const [lines, other] = pair({ protocol: 'lines' })
    track(lines)
    track(other)
    expect(() => Channel.over(lines as never)).toThrow(/not one of lines/)
  })
})

describe('an independent peer', () => {
  const independent = () => new Peer('python3', ['-B', testPath('support/peers/msg_channel.py')])
  const message = (size: number) => {
    const bytes = Buffer.alloc(size)
    for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8)) % 251
    return bytes
  }
  const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

  async function met(how: 'we connect' | 'it connects'): Promise<[Peer, Channel]> {
    const peer = independent()
    if (how === 'we connect') {
      const { port } = await peer.request({ op: 'listen' })
      const accepted = peer.request({ op: 'accept' })
      const channel = await Channel.connect(HOST, port)
      track(channel.channel)
      await accepted
      return [peer, channel]
    }
    const clients = await listening()
    const { name } = await peer.request({ op: 'connect', port: clients.port })
    const { value } = await clients.next()
    const channel = value as Channel
    track(channel.channel)
    expect([channel.ip, channel.port]).toEqual(name)
    return [peer, channel]
  }

  it.each(['we connect', 'it connects'] as const)('says the same as we, when %s', async how => {
    const [peer, channel] = await met(how)
    for (const size of SIZES) {
      const bytes = message(size)
      const sent = channel.send(bytes)
      expect(await peer.request({ op: 'recv' })).toEqual({
        head: `\r\nMSG ${size}\r\n`,
        kind: 'MSG',
        whole: true,
        size,
        sha: sha(bytes),
      })
      await sent
      for (const cut of size < 1_000 ? [0, 1, 2, 5] : [0, 4_099]) {
        const sending = peer.request({ op: 'send', size, cut })
        const got = (await channel.recv()) as Buffer
        expect([got.length, sha(got)]).toEqual([size, sha(bytes)])
        await sending
      }
    }
    const closing = channel.close()
    expect(await peer.request({ op: 'recv' })).toEqual({ eof: true })
    await peer.request({ op: 'close' })
    await closing
  })

  it('closes, which we hear as the end', async () => {
    const [peer, channel] = await met('we connect')
    await peer.request({ op: 'send', size: 3 })
    await peer.request({ op: 'close' })
    expect((await all(channel)).map(one => one.length)).toEqual([3])
  })
})
