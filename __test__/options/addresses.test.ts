import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Address, bind, type Channel, connect } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, pythonPeer, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const open: Channel[] = []
const home = process.cwd()
afterEach(async () => {
  process.chdir(home)
  await Promise.all(open.splice(0).map(channel => channel.close()))
})

async function bound(address: Address, options = {}): Promise<Channel> {
  const channel = await bind(address, { ...JSONCOMM, ...options })
  open.push(channel)
  return channel
}

async function connected(address: Address, options = {}): Promise<Channel> {
  const channel = await connect(address, { ...JSONCOMM, ...options })
  open.push(channel)
  return channel
}

/** A message from one to the other and back, by the names that each sees. */
async function thereAndBack(server: Channel, client: Channel) {
  const ask = client.request('ask', { to: server.localAddress as Address })
  const question = await server.receive()
  server.send('answer', { to: question?.from as Address })
  expect((await ask).value).toBe('answer')
  return question?.from
}

const path108 = (dir: string) => join(dir, 'x'.repeat(107 - dir.length))
const latin1 = (dir: string) => Buffer.from(`${dir}/caf\xe9`, 'latin1')

describe('a name that one binds is the name that others see and answer', () => {
  const names: [string, (dir: string) => Address][] = [
    ['a path', dir => join(dir, 'a.sock')],
    ['a path in UTF-8', dir => join(dir, 'a é 日本 😀')],
    ['a path of 108 bytes', path108],
    ['a path that is not UTF-8', latin1],
    ['an abstract name', dir => `\0${dir}`],
    ['an abstract name with zero bytes inside and behind', dir => `\0${dir}\0x\0`],
    ['an abstract name of 108 bytes', dir => `\0${path108(dir).slice(1)}`],
    ['an abstract name that is not UTF-8', dir => Buffer.concat([Buffer.of(0), latin1(dir)])],
  ]
  it.each(names)('%s', async (_, nameIn) => {
    const name = nameIn(temporaryDirectory())
    const [server, client] = [await bound(''), await bound(name)]
    expect(client.localAddress).toEqual(name)
    expect(await thereAndBack(server, client)).toEqual(name)
    expect(await thereAndBack(client, server)).toBe(server.localAddress)
  })

  it('a UTF-8 name as Buffer or Uint8Array is the same name', async () => {
    const path = join(temporaryDirectory(), 'é')
    const server = await bound(Buffer.from(path))
    expect(server.localAddress).toBe(path)
    const client = await connected(new Uint8Array(Buffer.from(path)))
    expect(client.remoteAddress).toBe(path)
  })

  it("'' is an abstract name of the kernel's choice", async () => {
    const channel = await bound('')
    expect(channel.localAddress).toMatch(/^\0[0-9a-f]{5}$/)
  })

  it('a path of 108 bytes is removed at close', async () => {
    const path = path108(temporaryDirectory())
    const channel = await bind(path, JSONCOMM)
    expect(existsSync(path)).toBe(true)
    await channel.close()
    expect(existsSync(path)).toBe(false)
  })
})

describe('what no socket can be called is refused with its reason, by every function', () => {
  const wrong: [string, unknown, object][] = [
    ['109 bytes', 'x'.repeat(109), { message: expect.stringMatching(/109 bytes.*at most 108/) }],
    ['109 bytes in UTF-8', `/${'é'.repeat(54)}`, { code: 'ERR_FDWIRE_BAD_ADDRESS' }],
    ['an abstract name of 109 bytes', `\0${'x'.repeat(108)}`, { code: 'ERR_FDWIRE_BAD_ADDRESS' }],
    ['a path with a NUL', '/a\0b', { message: expect.stringContaining('zero byte at 2') }],
    ['a Buffer with a NUL', Buffer.from('/ab\0'), { message: expect.stringContaining('at 3') }],
    ['a lone surrogate', '/a\ud800', { code: 'ERR_FDWIRE_ILL_FORMED_TEXT' }],
  ]
  it.each(wrong)('%s', async (_, address, reason) => {
    const error = expect.objectContaining({ name: 'FdwireError', fault: 'caller', ...reason })
    await expect(bind(address as string, JSONCOMM)).rejects.toEqual(error)
    await expect(connect(address as string, JSONCOMM)).rejects.toEqual(error)
    const channel = await bound('')
    expect(() => channel.send(1, { to: address as string })).toThrow(error)
    await expect(channel.request(1, { to: address as string })).rejects.toEqual(error)
    const to = channel.localAddress as string
    await expect(connect(to, { ...JSONCOMM, localAddress: address as string })).rejects.toEqual(
      error,
    )
  })

  it.each([3, undefined, {}, ['/x'], { host: 'localhost', port: 1 }, new Uint16Array(2)])(
    'a wrong type: %o',
    async address => {
      await expect(bind(address as never, JSONCOMM)).rejects.toThrow(TypeError)
      await expect(connect(address as never, JSONCOMM)).rejects.toThrow(TypeError)
      const channel = await bound('')
      if (address !== undefined) {
        expect(() => channel.send(1, { to: address as never })).toThrow(TypeError)
      }
    },
  )

  it('nobody: an empty name to connect or to send to', async () => {
    const error = expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS' })
    await expect(connect('', JSONCOMM)).rejects.toEqual(error)
    const channel = await bound('')
    expect(() => channel.send(1, { to: '' })).toThrow(error)
    expect(() => channel.send(1, { to: Buffer.alloc(0) })).toThrow(error)
  })
})

describe('a sender is told as it is', () => {
  it('null where it has no name, and sending to null throws', async () => {
    const server = await bound('')
    const client = await connected(server.localAddress as string, { localAddress: null })
    expect(client.localAddress).toBe(null)
    client.send('from nobody')
    const { from } = (await server.receive()) as { from: null }
    expect(from).toBe(null)
    expect(() => server.send(1, { to: from as never })).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS', fault: 'caller' }),
    )
  })

  it('undefined on a connected channel', async () => {
    const server = await bound('')
    const client = await connected(server.localAddress as string)
    server.send('hello', { to: client.localAddress as string })
    expect((await client.receive())?.from).toBe(undefined)
    expect(client.remoteAddress).toBe(server.localAddress)
  })

  it('each its own, in a burst of several senders', async () => {
    const server = await bound('')
    const senders = [await bound(''), await bound(latin1(temporaryDirectory())), await bound('')]
    const names = [0, 0, 1, 2, 1].map(i => senders[i]?.localAddress)
    const nameless = await connected(server.localAddress as string, { localAddress: null })
    for (const i of [0, 0, 1]) senders[i]?.send(i, { to: server.localAddress as string })
    nameless.send('nobody')
    for (const i of [2, 1]) senders[i]?.send(i, { to: server.localAddress as string })
    const seen = []
    while (seen.length < 6) seen.push((await server.receive())?.from)
    expect(seen).toEqual([...names.slice(0, 3), null, ...names.slice(3)])
  })
})

describe("a sender's relative path", () => {
  const names: [string, Address][] = [
    ['text', 'peer.sock'],
    ['not UTF-8', Buffer.from('pe\xe9r', 'latin1')],
  ]
  it.each(names)('is refused as destination unless allowed: %s', async (_, name) => {
    const dir = temporaryDirectory()
    const server = await bound(join(dir, 'server'))
    const peer = pythonPeer({ cwd: dir })
    const hex = Buffer.from(name as string).toString('hex')
    await peer.request({ op: 'open', bind: hex })
    const to = Buffer.from(join(dir, 'server')).toString('hex')
    await peer.request({ op: 'send', value: 'hello', to })
    const from = (await server.receive())?.from as Address
    expect(from).toEqual(name)
    const refused = expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS', fault: 'caller' })
    expect(() => server.send('answer', { to: from })).toThrow(refused)
    expect(() => server.sendAll(['answer'], { to: from })).toThrow(refused)
    await expect(server.request('answer', { to: from })).rejects.toEqual(refused)
    // Here it would be another socket: there is none in our directory.
    expect(() => server.send('answer', { to: from, allowRelative: true })).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    )
    process.chdir(dir)
    server.send('answer', { to: from, allowRelative: true })
    expect((await peer.request({ op: 'recv' })).value).toBe('answer')
  })

  it('goes where the option of the channel allows it', async () => {
    process.chdir(temporaryDirectory())
    const [server, client] = [await bound('server', { allowRelative: true }), await bound('client')]
    expect(await thereAndBack(server, client)).toBe('client')
  })

  it('as long as no sender has come with it, is a destination as any other', async () => {
    process.chdir(temporaryDirectory())
    const [server, client] = [await bound('server'), await bound('')]
    client.send('by a path of my own', { to: 'server' })
    expect((await server.receive())?.value).toBe('by a path of my own')
  })
})
