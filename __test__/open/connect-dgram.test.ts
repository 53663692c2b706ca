import { createServer } from 'node:net'
import { join } from 'node:path'
import { bind, type Channel, connect, pair } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, pythonPeer, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const channels: Channel[] = []
afterEach(async () => {
  await Promise.all(channels.splice(0).map(channel => channel.close()))
})
const closeAfterTest = (channel: Channel) => {
  channels.push(channel)
  return channel
}
const errorWith = (code: string, more = {}) =>
  expect.objectContaining({ code, syscall: 'connect', ...more })
const hex = (name: unknown) => Buffer.from(name as string).toString('hex')

describe('connect to a datagram address', () => {
  it('fails with ENOENT if the path does not exist', async () => {
    const path = join(temporaryDirectory(), 's')
    await expect(connect(path, JSONCOMM)).rejects.toEqual(
      errorWith('ENOENT', {
        path,
        errno: -2,
        message: `connect ENOENT ${path}: no socket has this address`,
      }),
    )
  })

  it('fails with ECONNREFUSED if no live socket has the address', async () => {
    const path = join(temporaryDirectory(), 's')
    const dead = pythonPeer()
    await dead.request({ op: 'open', bind: hex(path) })
    await dead.stop()
    await expect(connect(path, JSONCOMM)).rejects.toEqual(errorWith('ECONNREFUSED', { path }))
    await expect(connect('\0unbound', JSONCOMM)).rejects.toEqual(
      errorWith('ECONNREFUSED', {
        path: '\0unbound',
        message: 'connect ECONNREFUSED @unbound: no process has a socket open at this address',
      }),
    )
  })

  it('fails with EPROTOTYPE if a stream server listens there', async () => {
    const path = join(temporaryDirectory(), 's')
    const server = createServer().listen(path)
    await new Promise(resolve => server.once('listening', resolve))
    await expect(connect(path, JSONCOMM)).rejects.toEqual(errorWith('EPROTOTYPE', { path }))
    await new Promise(resolve => server.close(resolve))
  })

  it('fails with EADDRINUSE and names localAddress if that is taken', async () => {
    const server = closeAfterTest(await bind(null, JSONCOMM))
    const taken = closeAfterTest(await bind(`\0${temporaryDirectory()}`, JSONCOMM))
      .localAddress as string
    const to = server.localAddress as string
    await expect(connect(to, { ...JSONCOMM, localAddress: taken })).rejects.toEqual(
      expect.objectContaining({ code: 'EADDRINUSE', syscall: 'bind', path: taken }),
    )
  })

  it('rejects with an AbortError if its signal is already aborted', async () => {
    const signal = AbortSignal.abort('too late')
    await expect(connect('/nowhere', { ...JSONCOMM, signal })).rejects.toEqual(
      expect.objectContaining({ name: 'AbortError', code: 'ABORT_ERR', cause: 'too late' }),
    )
  })
})

describe('the local address of a client', () => {
  it.each([
    ['chosen by the kernel by default', undefined, /^\0[0-9a-f]{5}$/],
    ['null for null', null, null],
    ['the address of the option localAddress', '\0fdwire a client', '\0fdwire a client'],
  ])('is %s', async (_, localAddress, expected) => {
    const server = closeAfterTest(await bind(null, JSONCOMM))
    const client = closeAfterTest(
      await connect(server.localAddress as string, { ...JSONCOMM, localAddress }),
    )
    if (expected instanceof RegExp) expect(client.localAddress).toMatch(expected)
    else expect(client.localAddress).toBe(expected)
    client.send('hello')
    expect((await server.receive())?.from).toBe(client.localAddress)
  })
})

describe('a connected datagram channel', () => {
  it('receives from its server only: the kernel rejects other senders', async () => {
    const server = closeAfterTest(await bind(null, JSONCOMM))
    const client = closeAfterTest(await connect(server.localAddress as string, JSONCOMM))
    const to = client.localAddress as string
    const other = pythonPeer()
    await other.request({ op: 'open', bind: '' })
    expect(await other.request({ op: 'send', value: 'from another process', to: hex(to) })).toEqual(
      {
        error: 1,
      },
    )
    const third = closeAfterTest(await bind(null, JSONCOMM))
    expect(() => third.send('from another channel', { to })).toThrow(
      expect.objectContaining({ code: 'EPERM' }),
    )
    server.send('from the server', { to })
    expect((await client.receive())?.value).toBe('from the server')
    expect(client.stats.received).toBe(1)
  })

  it('sends to its server only: the option `to` is rejected', async () => {
    const server = closeAfterTest(await bind(null, JSONCOMM))
    const client = closeAfterTest(await connect(server.localAddress as string, JSONCOMM))
    expect(() => client.send(1, { to: server.localAddress as string })).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS', fault: 'caller' }),
    )
  })

  it('emits no event when its server dies, and every later send fails with ECONNREFUSED', async () => {
    const path = join(temporaryDirectory(), 's')
    const server = pythonPeer()
    await server.request({ op: 'open', bind: hex(path) })
    const client = closeAfterTest(await connect(path, JSONCOMM))
    const events: string[] = []
    for (const name of ['error', 'close', 'message'] as const) {
      client.on(name, () => events.push(name))
    }
    await server.stop()
    // For the second send the kernel reports ENOTCONN, which would mislead the caller.
    for (const text of ['first', 'second']) {
      expect(() => client.send(text)).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }))
    }
    expect(events).toEqual([])
    expect(client.closed).toBe(false)
  })
})

describe('a pair', () => {
  it('is two connected channels without addresses', async () => {
    const [a, b] = pair(JSONCOMM).map(closeAfterTest) as [Channel, Channel]
    a.send('to b')
    b.send('to a')
    expect((await a.receive())?.value).toBe('to a')
    expect(await b.receive()).toMatchObject({ value: 'to b', from: undefined })
    expect([a.localAddress, a.remoteAddress]).toEqual([null, null])
  })

  it('fails to send with ECONNREFUSED when its other half is closed', async () => {
    const [a, b] = pair(JSONCOMM).map(closeAfterTest) as [Channel, Channel]
    b.destroy()
    expect(() => a.send('to b')).toThrow(
      expect.objectContaining({ code: 'ECONNREFUSED', syscall: 'sendmsg' }),
    )
    expect(a.closed).toBe(false)
  })
})
