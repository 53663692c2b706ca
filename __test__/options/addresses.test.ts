import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Address, bind, type Channel, connect, listen } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, pythonPeer, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const channels: Channel[] = []
const originalDirectory = process.cwd()
afterEach(async () => {
  process.chdir(originalDirectory)
  await Promise.all(channels.splice(0).map(channel => channel.close()))
})

async function boundChannel(address: Address | null, options = {}): Promise<Channel> {
  const channel = await bind(address, { ...JSONCOMM, ...options })
  channels.push(channel)
  return channel
}

async function connectedChannel(address: Address, options = {}): Promise<Channel> {
  const channel = await connect(address, { ...JSONCOMM, ...options })
  channels.push(channel)
  return channel
}

/**
 * Sends a request and a reply, each to the address that the sender sees; returns the request's
 * `from`.
 */
async function roundTrip(server: Channel, client: Channel) {
  const reply = client.request('request', { to: server.localAddress as Address })
  const request = await server.receive()
  server.send('reply', { to: request?.from as Address })
  expect((await reply).value).toBe('reply')
  return request?.from
}

const path108 = (dir: string) => join(dir, 'x'.repeat(107 - dir.length))
const latin1 = (dir: string) => Buffer.from(`${dir}/caf\xe9`, 'latin1')

describe('bind', () => {
  const names: [string, (dir: string) => Address][] = [
    ['a path', dir => join(dir, 'a.sock')],
    ['a path in UTF-8', dir => join(dir, 'a é 日本 😀')],
    ['a path of 108 bytes', path108],
    ['a path that is not UTF-8', latin1],
    ['an abstract name', dir => `\0${dir}`],
    ['an abstract name with zero bytes inside and at its end', dir => `\0${dir}\0x\0`],
    ['an abstract name of 108 bytes', dir => `\0${path108(dir).slice(1)}`],
    ['an abstract name that is not UTF-8', dir => Buffer.concat([Buffer.of(0), latin1(dir)])],
  ]
  it.each(names)(
    'makes the channel reachable at the given address, which its peers see: %s',
    async (_, nameIn) => {
      const name = nameIn(temporaryDirectory())
      const [server, client] = [await boundChannel(null), await boundChannel(name)]
      expect(client.localAddress).toEqual(name)
      expect(await roundTrip(server, client)).toEqual(name)
      expect(await roundTrip(client, server)).toBe(server.localAddress)
    },
  )

  it('treats a UTF-8 address in a Buffer or Uint8Array as the equivalent string', async () => {
    const path = join(temporaryDirectory(), 'é')
    const server = await boundChannel(Buffer.from(path))
    expect(server.localAddress).toBe(path)
    const client = await connectedChannel(new Uint8Array(Buffer.from(path)))
    expect(client.remoteAddress).toBe(path)
  })

  it('binds the empty address to an abstract name chosen by the kernel', async () => {
    const channel = await boundChannel(null)
    expect(channel.localAddress).toMatch(/^\0[0-9a-f]{5}$/)
  })

  it('removes a path of 108 bytes when the channel closes', async () => {
    const path = path108(temporaryDirectory())
    const channel = await bind(path, JSONCOMM)
    expect(existsSync(path)).toBe(true)
    await channel.close()
    expect(existsSync(path)).toBe(false)
  })
})

describe('an invalid address', () => {
  const invalid: [string, unknown, object][] = [
    ['109 bytes', 'x'.repeat(109), { message: expect.stringMatching(/109 bytes.*at most 108/) }],
    ['109 bytes in UTF-8', `/${'é'.repeat(54)}`, { code: 'ERR_FDWIRE_BAD_ADDRESS' }],
    ['an abstract name of 109 bytes', `\0${'x'.repeat(108)}`, { code: 'ERR_FDWIRE_BAD_ADDRESS' }],
    ['a path with a NUL', '/a\0b', { message: expect.stringContaining('zero byte at 2') }],
    ['a Buffer with a NUL', Buffer.from('/ab\0'), { message: expect.stringContaining('at 3') }],
    ['a lone surrogate', '/a\ud800', { code: 'ERR_FDWIRE_ILL_FORMED_TEXT' }],
  ]
  it.each(invalid)(
    'is rejected with the reason by bind, connect, send and request: %s',
    async (_, address, reason) => {
      const error = expect.objectContaining({ name: 'FdwireError', fault: 'caller', ...reason })
      await expect(bind(address as string, JSONCOMM)).rejects.toEqual(error)
      await expect(connect(address as string, JSONCOMM)).rejects.toEqual(error)
      const channel = await boundChannel(null)
      expect(() => channel.send(1, { to: address as string })).toThrow(error)
      await expect(channel.request(1, { to: address as string })).rejects.toEqual(error)
      const to = channel.localAddress as string
      await expect(connect(to, { ...JSONCOMM, localAddress: address as string })).rejects.toEqual(
        error,
      )
    },
  )

  it.each([3, undefined, {}, ['/x'], { host: 'localhost', port: 1 }, new Uint16Array(2)])(
    'is rejected with a TypeError if it has the wrong type: %o',
    async address => {
      await expect(bind(address as never, JSONCOMM)).rejects.toThrow(TypeError)
      await expect(connect(address as never, JSONCOMM)).rejects.toThrow(TypeError)
      const channel = await boundChannel(null)
      if (address !== undefined) {
        expect(() => channel.send(1, { to: address as never })).toThrow(TypeError)
      }
    },
  )

  it('is a TypeError that names what to use if it is empty, in bind, listen and localAddress', async () => {
    const server = await boundChannel(null)
    const peer = server.localAddress as string
    for (const empty of ['', Buffer.alloc(0)]) {
      const unbound = /^The address must not be empty: use a path, or null for an abstract name/
      for (const open of [
        bind(empty, JSONCOMM),
        listen(empty, { protocol: 'lines' }),
        listen(empty, { ...JSONCOMM, type: 'seqpacket' }),
      ]) {
        await expect(open).rejects.toThrow(TypeError)
        await expect(open).rejects.toThrow(unbound)
      }
      const local = connect(peer, { ...JSONCOMM, localAddress: empty })
      await expect(local).rejects.toThrow(TypeError)
      await expect(local).rejects.toThrow(
        /^localAddress must not be empty: use a path, or null for no address, or omit it for an/,
      )
      await expect(connect('\0nobody', { protocol: 'lines', localAddress: empty })).rejects.toThrow(
        /^localAddress must not be empty: use a path, or null for no address$/,
      )
    }
  })

  it('is one that the kernel chooses if it is null, in bind and listen', async () => {
    const bound = await boundChannel(null)
    expect(bound.localAddress).toMatch(/^\0[0-9a-f]{5}$/)
    for (const type of ['stream', 'seqpacket'] as const) {
      const listener = await listen(null, { protocol: 'raw', type })
      expect(listener.address).toMatch(/^\0[0-9a-f]{5}$/)
      await listener.close()
    }
  })

  it('is rejected by connect and send if it is empty', async () => {
    const error = expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS' })
    await expect(connect('', JSONCOMM)).rejects.toEqual(error)
    const channel = await boundChannel(null)
    expect(() => channel.send(1, { to: '' })).toThrow(error)
    expect(() => channel.send(1, { to: Buffer.alloc(0) })).toThrow(error)
  })
})

describe("a message's from", () => {
  it('is null if the sender has no address, and sending to null throws', async () => {
    const server = await boundChannel(null)
    const client = await connectedChannel(server.localAddress as string, { localAddress: null })
    expect(client.localAddress).toBe(null)
    client.send('from an unnamed sender')
    const { from } = (await server.receive()) as { from: null }
    expect(from).toBe(null)
    expect(() => server.send(1, { to: from as never })).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS', fault: 'caller' }),
    )
  })

  it('is undefined on a connected channel', async () => {
    const server = await boundChannel(null)
    const client = await connectedChannel(server.localAddress as string)
    server.send('hello', { to: client.localAddress as string })
    expect((await client.receive())?.from).toBe(undefined)
    expect(client.remoteAddress).toBe(server.localAddress)
  })

  it('is the address of its own sender in a burst from several senders', async () => {
    const server = await boundChannel(null)
    const senders = [
      await boundChannel(null),
      await boundChannel(latin1(temporaryDirectory())),
      await boundChannel(null),
    ]
    const names = [0, 0, 1, 2, 1].map(i => senders[i]?.localAddress)
    const unnamed = await connectedChannel(server.localAddress as string, { localAddress: null })
    for (const i of [0, 0, 1]) senders[i]?.send(i, { to: server.localAddress as string })
    unnamed.send('unnamed')
    for (const i of [2, 1]) senders[i]?.send(i, { to: server.localAddress as string })
    const seen = []
    while (seen.length < 6) seen.push((await server.receive())?.from)
    expect(seen).toEqual([...names.slice(0, 3), null, ...names.slice(3)])
  })
})

describe('a relative path as destination', () => {
  const names: [string, Address][] = [
    ['text', 'peer.sock'],
    ['not UTF-8', Buffer.from('pe\xe9r', 'latin1')],
  ]
  it.each(names)(
    "is rejected if it was received as a sender's address, unless allowRelative is set: %s",
    async (_, name) => {
      const dir = temporaryDirectory()
      const server = await boundChannel(join(dir, 'server'))
      const peer = pythonPeer({ cwd: dir })
      const hex = Buffer.from(name as string).toString('hex')
      await peer.request({ op: 'open', bind: hex })
      const to = Buffer.from(join(dir, 'server')).toString('hex')
      await peer.request({ op: 'send', value: 'hello', to })
      const from = (await server.receive())?.from as Address
      expect(from).toEqual(name)
      const rejected = expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS', fault: 'caller' })
      expect(() => server.send('answer', { to: from })).toThrow(rejected)
      expect(() => server.sendAll(['answer'], { to: from })).toThrow(rejected)
      await expect(server.request('answer', { to: from })).rejects.toEqual(rejected)
      // The path resolves in this process's directory, which has no such socket.
      expect(() => server.send('answer', { to: from, allowRelative: true })).toThrow(
        expect.objectContaining({ code: 'ENOENT' }),
      )
      process.chdir(dir)
      server.send('answer', { to: from, allowRelative: true })
      expect((await peer.request({ op: 'recv' })).value).toBe('answer')
    },
  )

  it("is accepted after it was received as a sender's address if the channel sets allowRelative", async () => {
    process.chdir(temporaryDirectory())
    const [server, client] = [
      await boundChannel('server', { allowRelative: true }),
      await boundChannel('client'),
    ]
    expect(await roundTrip(server, client)).toBe('client')
  })

  it("is accepted if it was not received as a sender's address", async () => {
    process.chdir(temporaryDirectory())
    const [server, client] = [await boundChannel('server'), await boundChannel(null)]
    client.send("by the caller's path", { to: 'server' })
    expect((await server.receive())?.value).toBe("by the caller's path")
  })
})
