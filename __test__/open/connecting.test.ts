import { createServer } from 'node:net'
import { join } from 'node:path'
import { bind, type Channel, connect, pair } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, pythonPeer, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const open: Channel[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(channel => channel.close()))
})
const keep = (channel: Channel) => {
  open.push(channel)
  return channel
}
const failing = (code: string, more = {}) =>
  expect.objectContaining({ code, syscall: 'connect', ...more })
const hex = (name: unknown) => Buffer.from(name as string).toString('hex')

describe('connecting fails', () => {
  it('with ENOENT where nothing is', async () => {
    const path = join(temporaryDirectory(), 's')
    await expect(connect(path, JSONCOMM)).rejects.toEqual(
      failing('ENOENT', { path, errno: -2, message: `connect ENOENT ${path}` }),
    )
  })

  it('with ECONNREFUSED where nobody is any more, or never was', async () => {
    const path = join(temporaryDirectory(), 's')
    const dead = pythonPeer()
    await dead.request({ op: 'open', bind: hex(path) })
    await dead.stop()
    await expect(connect(path, JSONCOMM)).rejects.toEqual(failing('ECONNREFUSED', { path }))
    await expect(connect('\0nobody', JSONCOMM)).rejects.toEqual(
      failing('ECONNREFUSED', { path: '\0nobody', message: 'connect ECONNREFUSED @nobody' }),
    )
  })

  it('with EPROTOTYPE where a server of streams is', async () => {
    const path = join(temporaryDirectory(), 's')
    const server = createServer().listen(path)
    await new Promise(resolve => server.once('listening', resolve))
    await expect(connect(path, JSONCOMM)).rejects.toEqual(failing('EPROTOTYPE', { path }))
    await new Promise(resolve => server.close(resolve))
  })

  it('with EADDRINUSE that names the own address where that is taken', async () => {
    const server = keep(await bind('', JSONCOMM))
    const taken = keep(await bind(`\0${temporaryDirectory()}`, JSONCOMM)).localAddress as string
    const to = server.localAddress as string
    await expect(connect(to, { ...JSONCOMM, localAddress: taken })).rejects.toEqual(
      expect.objectContaining({ code: 'EADDRINUSE', syscall: 'bind', path: taken }),
    )
  })

  it('when the signal was aborted before', async () => {
    const signal = AbortSignal.abort('too late')
    await expect(connect('/nowhere', { ...JSONCOMM, signal })).rejects.toEqual(
      expect.objectContaining({ name: 'AbortError', code: 'ABORT_ERR', cause: 'too late' }),
    )
  })
})

describe('the own name of a client', () => {
  it.each([
    ["the kernel's choice by default", undefined, /^\0[0-9a-f]{5}$/],
    ["the kernel's choice for ''", '', /^\0[0-9a-f]{5}$/],
    ['none for null', null, null],
    ['what was asked for', '\0fdwire a client', '\0fdwire a client'],
  ])('is %s', async (_, localAddress, expected) => {
    const server = keep(await bind('', JSONCOMM))
    const client = keep(await connect(server.localAddress as string, { ...JSONCOMM, localAddress }))
    if (expected instanceof RegExp) expect(client.localAddress).toMatch(expected)
    else expect(client.localAddress).toBe(expected)
    client.send('hello')
    expect((await server.receive())?.from).toBe(client.localAddress)
  })
})

describe('a client hears its server and nobody else', () => {
  it('a third party that sends to it is refused by the kernel', async () => {
    const server = keep(await bind('', JSONCOMM))
    const client = keep(await connect(server.localAddress as string, JSONCOMM))
    const to = client.localAddress as string
    const stranger = pythonPeer()
    await stranger.request({ op: 'open', bind: '' })
    expect(await stranger.request({ op: 'send', value: 'a stranger', to: hex(to) })).toEqual({
      error: 1,
    })
    const third = keep(await bind('', JSONCOMM))
    expect(() => third.send('another', { to })).toThrow(expect.objectContaining({ code: 'EPERM' }))
    server.send('the server', { to })
    expect((await client.receive())?.value).toBe('the server')
    expect(client.stats.received).toBe(1)
  })

  it('and sends to nobody else: `to` is refused', async () => {
    const server = keep(await bind('', JSONCOMM))
    const client = keep(await connect(server.localAddress as string, JSONCOMM))
    expect(() => client.send(1, { to: server.localAddress as string })).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS', fault: 'caller' }),
    )
  })

  it('whose death makes no event: the next send says it', async () => {
    const path = join(temporaryDirectory(), 's')
    const server = pythonPeer()
    await server.request({ op: 'open', bind: hex(path) })
    const client = keep(await connect(path, JSONCOMM))
    const events: string[] = []
    for (const name of ['error', 'close', 'message'] as const) {
      client.on(name, () => events.push(name))
    }
    await server.stop()
    // The kernel says ENOTCONN the second time, which would mean something else.
    for (const word of ['gone?', 'still gone?']) {
      expect(() => client.send(word)).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }))
    }
    expect(events).toEqual([])
    expect(client.closed).toBe(false)
  })
})

describe('a pair', () => {
  it('is two channels that hear each other, without names', async () => {
    const [a, b] = pair(JSONCOMM).map(keep) as [Channel, Channel]
    a.send('to b')
    b.send('to a')
    expect((await a.receive())?.value).toBe('to a')
    expect(await b.receive()).toMatchObject({ value: 'to b', from: undefined })
    expect([a.localAddress, a.remoteAddress]).toEqual([null, null])
  })

  it('is told by ECONNREFUSED when the other end is closed', async () => {
    const [a, b] = pair(JSONCOMM).map(keep) as [Channel, Channel]
    b.destroy()
    expect(() => a.send('to b')).toThrow(
      expect.objectContaining({ code: 'ECONNREFUSED', syscall: 'sendmsg' }),
    )
    expect(a.closed).toBe(false)
  })
})
