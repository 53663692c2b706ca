import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Address, bind, type Channel, connect, type FdSet } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  type Peer,
  pythonPeer,
  readContents,
  temporaryDirectory,
} from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const COUNTS = [0, 1, 3, 253]
const open: Channel[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(channel => channel.close()))
})

const hex = (address: Channel['localAddress'] | Address | undefined) =>
  Buffer.from((address ?? '') as string).toString('hex')
const unhex = (name: string) => Buffer.from(name, 'hex').toString()
const textsOf = (fds: FdSet) =>
  Array.from({ length: fds.length }, (_, i) => readContents(fds.get(i)))
const texts = (count: number) => Array.from({ length: count }, (_, i) => `file ${i} of ${count}`)

/** Creates files with these contents and opens them for reading. */
function filesWith(contents: string[]): number[] {
  const dir = temporaryDirectory()
  return contents.map((text, i) => {
    writeFileSync(join(dir, `${i}`), text)
    return openSync(join(dir, `${i}`), 'r')
  })
}

/** Binds a channel and connects a Python client to it. */
async function pythonClient(): Promise<{ server: Channel; peer: Peer; name: string }> {
  const path = join(temporaryDirectory(), 'server')
  const server = await bind(path, JSONCOMM)
  open.push(server)
  const peer = pythonPeer()
  // Like the original, the client autobinds before it connects.
  const { name } = await peer.request({ op: 'open', bind: '', connect: hex(path) })
  return { server, peer, name: unhex(name) }
}

/** Starts a Python server and connects a channel to it. */
async function pythonServer(): Promise<{ client: Channel; peer: Peer }> {
  const path = join(temporaryDirectory(), 'server')
  const peer = pythonPeer()
  await peer.request({ op: 'open', bind: hex(path) })
  const client = await connect(path, JSONCOMM)
  open.push(client)
  return { client, peer }
}

describe('the test environment', () => {
  it('has python3 with socket.recv_fds', () => {
    expect(spawnSync('python3', ['-c', 'import socket; socket.recv_fds']).status).toBe(0)
  })
})

describe('a message from Python', () => {
  it.each(COUNTS)('arrives with its sender and descriptors (%i fds)', async count => {
    const { server, peer, name } = await pythonClient()
    const value = { fds: [...Array(count).keys()], text: 'é "\\ 😀' }
    expect(await peer.request({ op: 'send', value, texts: texts(count) })).toHaveProperty('sent')
    const message = await server.receive()
    expect(message?.value).toEqual(value)
    expect(message?.from).toBe(name)
    expect(textsOf(message?.fds as FdSet)).toEqual(texts(count))
    message?.fds.close()
  })
})

describe('a message to Python', () => {
  it.each(COUNTS)('arrives with its sender and descriptors (%i fds)', async count => {
    const { client, peer } = await pythonServer()
    const fds = filesWith(texts(count))
    const value = { fds: [...Array(count).keys()], text: 'é "\\ 😀 \ud800' }
    client.send(value, { fds })
    for (const fd of fds) closeSync(fd)
    const received = await peer.request({ op: 'recv' })
    expect(received).toEqual({
      value,
      raw: Buffer.from(JSON.stringify(value)).toString('hex'),
      texts: texts(count),
      cut: false,
      from: hex(client.localAddress),
    })
  })
})

describe('a reply', () => {
  it.each(COUNTS)(
    'to an autobound Python client arrives with its descriptors (%i fds)',
    async count => {
      const { server, peer } = await pythonClient()
      await peer.request({ op: 'send', value: 'request' })
      const from = (await server.receive())?.from as string
      expect(from).toMatch(/^\0[0-9a-f]{5}$/)
      const fds = filesWith(texts(count))
      server.send({ reply: count }, { to: from, fds })
      for (const fd of fds) closeSync(fd)
      const received = await peer.request({ op: 'recv' })
      expect([received.value, received.texts]).toEqual([{ reply: count }, texts(count)])
      expect(received.from).toBe(hex(server.localAddress))
    },
  )

  it.each(COUNTS)(
    'from a Python server arrives at the autobound channel with its descriptors (%i fds)',
    async count => {
      const { client, peer } = await pythonServer()
      const reply = client.request('request')
      const { from } = await peer.request({ op: 'recv' })
      expect(unhex(from)).toMatch(/^\0[0-9a-f]{5}$/)
      await peer.request({ op: 'send', value: { reply: count }, texts: texts(count), to: from })
      const { value, fds } = await reply
      expect(value).toEqual({ reply: count })
      expect(textsOf(fds)).toEqual(texts(count))
      fds.close()
    },
  )

  it('reaches a Python client at a path, also one that is not UTF-8', async () => {
    const server = await bind(null, JSONCOMM)
    open.push(server)
    for (const name of ['client', 'cli\xe9nt']) {
      const path = Buffer.concat([
        Buffer.from(`${temporaryDirectory()}/`),
        Buffer.from(name, 'latin1'),
      ])
      const peer = pythonPeer()
      await peer.request({ op: 'open', bind: hex(path) })
      await peer.request({ op: 'send', value: 1, to: hex(server.localAddress) })
      const from = (await server.receive())?.from as Address
      expect(Buffer.from(from)).toEqual(path)
      server.send(2, { to: from })
      expect((await peer.request({ op: 'recv' })).value).toBe(2)
    }
  })

  it('to an unnamed Python client is impossible: from is null', async () => {
    const { server, peer } = await pythonClient()
    await peer.request({ op: 'open', connect: hex(server.localAddress) })
    await peer.request({ op: 'send', value: 1 })
    expect((await server.receive())?.from).toBe(null)
  })
})

describe("Python's json module", () => {
  /** JSON texts in the form of JSON.stringify, from which json.dumps differs. */
  const TEXTS = [
    '{"a":[1,2.5,-0.001,1e300,{"b":null}],"c":"d"}',
    '"\\u0000\\u001f\\u007f\\u2028\\u2029\\ufeff\\ud800"',
    '"\\"\\\\/\\b\\f\\n\\r\\t é ß 日本 😀"',
    '{"":{"__proto__":1,"constructor":{"prototype":2}},"é 😀":[[],{},"",0,true,false,null]}',
    '[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]',
    'null',
    'false',
    '0',
    '""',
    '9007199254740991',
    '1e+21',
  ]

  it('encodes and decodes the same values as fdwire', async () => {
    const { server, peer, name } = await pythonClient()
    for (const text of TEXTS) {
      const value = JSON.parse(text)
      peer.child.stdin?.write(`{"op": "send", "value": ${text}}\n`)
      await peer.receive()
      expect(JSON.stringify((await server.receive())?.value)).toBe(JSON.stringify(value))
      server.send(value, { to: name })
      const { value: back } = await peer.request({ op: 'recv' })
      expect(JSON.stringify(back)).toBe(JSON.stringify(value))
    }
  })

  it('encodes NaN and Infinity to malformed messages, after which the next one arrives', async () => {
    const { server, peer } = await pythonClient()
    const codes: string[] = []
    server.on('malformed', error => codes.push(error.code))
    for (const literal of ['NaN', 'Infinity', '-Infinity', '{"a": [NaN]}']) {
      // json.loads accepts these, and json.dumps writes them again.
      peer.child.stdin?.write(`{"op": "send", "value": ${literal}, "texts": ["closed"]}\n`)
      expect(await peer.receive()).toHaveProperty('sent')
    }
    await peer.request({ op: 'send', value: 'next' })
    expect((await server.receive())?.value).toBe('next')
    expect(codes).toEqual(Array(4).fill('ERR_FDWIRE_NOT_JSON'))
  })

  it('exchanges datagrams of the maximum size with fdwire', async () => {
    const { client, peer } = await pythonServer()
    const largest = 'x'.repeat(212_960 - 2)
    client.send(largest)
    const received = await peer.request({ op: 'recv' })
    expect(received.value === largest && !received.cut).toBe(true)
    expect(() => client.send(`${largest}x`)).toThrow(expect.objectContaining({ code: 'EMSGSIZE' }))
    await peer.request({ op: 'send', value: largest, to: hex(client.localAddress) })
    expect((await client.receive())?.value === largest).toBe(true)
  })
})

describe('a bound channel', () => {
  it('unlinks its path when it closes, so a Python client cannot send', async () => {
    const { server, peer } = await pythonClient()
    const path = server.localAddress as string
    await server.close()
    expect(existsSync(path)).toBe(false)
    const { error } = await peer.request({ op: 'send', value: 1 })
    expect([107, 111]).toContain(error)
  })
})
