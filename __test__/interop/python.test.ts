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

/** Files that hold these texts, open for reading. */
function filesWith(contents: string[]): number[] {
  const dir = temporaryDirectory()
  return contents.map((text, i) => {
    writeFileSync(join(dir, `${i}`), text)
    return openSync(join(dir, `${i}`), 'r')
  })
}

/** A server of ours and a client of Python's that is connected to it. */
async function ourServer(): Promise<{ server: Channel; peer: Peer; name: string }> {
  const path = join(temporaryDirectory(), 'server')
  const server = await bind(path, JSONCOMM)
  open.push(server)
  const peer = pythonPeer()
  // The original binds to '' first, and connects then.
  const { name } = await peer.request({ op: 'open', bind: '', connect: hex(path) })
  return { server, peer, name: unhex(name) }
}

/** A server of Python's and a client of ours that is connected to it. */
async function theirServer(): Promise<{ client: Channel; peer: Peer }> {
  const path = join(temporaryDirectory(), 'server')
  const peer = pythonPeer()
  await peer.request({ op: 'open', bind: hex(path) })
  const client = await connect(path, JSONCOMM)
  open.push(client)
  return { client, peer }
}

it('python3 is here: nothing below is skipped', () => {
  expect(spawnSync('python3', ['-c', 'import socket; socket.recv_fds']).status).toBe(0)
})

describe('from Python, with as many descriptors as the message says', () => {
  it.each(COUNTS)('%i', async count => {
    const { server, peer, name } = await ourServer()
    const value = { fds: [...Array(count).keys()], text: 'é "\\ 😀' }
    expect(await peer.request({ op: 'send', value, texts: texts(count) })).toHaveProperty('sent')
    const message = await server.receive()
    expect(message?.value).toEqual(value)
    expect(message?.from).toBe(name)
    expect(textsOf(message?.fds as FdSet)).toEqual(texts(count))
    message?.fds.close()
  })
})

describe('to Python, with as many descriptors as the message says', () => {
  it.each(COUNTS)('%i', async count => {
    const { client, peer } = await theirServer()
    const fds = filesWith(texts(count))
    const value = { fds: [...Array(count).keys()], text: 'é "\\ 😀 \ud800' }
    client.send(value, { fds })
    for (const fd of fds) closeSync(fd)
    const got = await peer.request({ op: 'recv' })
    expect(got).toEqual({
      value,
      raw: Buffer.from(JSON.stringify(value)).toString('hex'),
      texts: texts(count),
      cut: false,
      from: hex(client.localAddress),
    })
  })
})

describe('an answer', () => {
  it.each(COUNTS)('goes to the autobound name of a Python client, with %i', async count => {
    const { server, peer } = await ourServer()
    await peer.request({ op: 'send', value: 'ask' })
    const from = (await server.receive())?.from as string
    expect(from).toMatch(/^\0[0-9a-f]{5}$/)
    const fds = filesWith(texts(count))
    server.send({ answer: count }, { to: from, fds })
    for (const fd of fds) closeSync(fd)
    const got = await peer.request({ op: 'recv' })
    expect([got.value, got.texts]).toEqual([{ answer: count }, texts(count)])
    expect(got.from).toBe(hex(server.localAddress))
  })

  it.each(COUNTS)('of a Python server comes to our autobound name, with %i', async count => {
    const { client, peer } = await theirServer()
    const reply = client.request('ask')
    const { from } = await peer.request({ op: 'recv' })
    expect(unhex(from)).toMatch(/^\0[0-9a-f]{5}$/)
    await peer.request({ op: 'send', value: { answer: count }, texts: texts(count), to: from })
    const { value, fds } = await reply
    expect(value).toEqual({ answer: count })
    expect(textsOf(fds)).toEqual(texts(count))
    fds.close()
  })

  it('goes to the path of a Python client, and to one that is not UTF-8', async () => {
    const server = await bind('', JSONCOMM)
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

  it('can not go to a Python client without a name: from is null', async () => {
    const { server, peer } = await ourServer()
    await peer.request({ op: 'open', connect: hex(server.localAddress) })
    await peer.request({ op: 'send', value: 1 })
    expect((await server.receive())?.from).toBe(null)
  })
})

describe("Python's json", () => {
  /** JSON texts as JavaScript writes them; json.dumps has its own way with each. */
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

  it('says the same as ours, both ways', async () => {
    const { server, peer, name } = await ourServer()
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

  it('says NaN and Infinity, which is malformed, and the next message comes', async () => {
    const { server, peer } = await ourServer()
    const codes: string[] = []
    server.on('malformed', error => codes.push(error.code))
    for (const bare of ['NaN', 'Infinity', '-Infinity', '{"a": [NaN]}']) {
      // Python's json.loads takes them, and json.dumps writes them again.
      peer.child.stdin?.write(`{"op": "send", "value": ${bare}, "texts": ["closed"]}\n`)
      expect(await peer.receive()).toHaveProperty('sent')
    }
    await peer.request({ op: 'send', value: 'next' })
    expect((await server.receive())?.value).toBe('next')
    expect(codes).toEqual(Array(4).fill('ERR_FDWIRE_NOT_JSON'))
  })

  it('takes the largest datagram of ours, and we take the largest of theirs', async () => {
    const { client, peer } = await theirServer()
    const largest = 'x'.repeat(212_960 - 2)
    client.send(largest)
    const got = await peer.request({ op: 'recv' })
    expect(got.value === largest && !got.cut).toBe(true)
    expect(() => client.send(`${largest}x`)).toThrow(expect.objectContaining({ code: 'EMSGSIZE' }))
    await peer.request({ op: 'send', value: largest, to: hex(client.localAddress) })
    expect((await client.receive())?.value === largest).toBe(true)
  })
})

it('the path of a server goes when it closes: a Python client hears ENOENT, not a stranger', async () => {
  const { server, peer } = await ourServer()
  const path = server.localAddress as string
  await server.close()
  expect(existsSync(path)).toBe(false)
  const { error } = await peer.request({ op: 'send', value: 1 })
  expect([107, 111]).toContain(error)
})
