/** The framings of other protocols with programs that speak them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { type Channel, connect, listen, over, pair } from 'fdwire'
import { Packr } from 'msgpackr'
import protobuf from 'protobufjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'
import { afterTest, receiveUpTo, runCleanupsAfterEach } from '../support/streams.js'
import { pythonWithPeers } from '../support/venv.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const PEERS = 'support/peers'
const CHILDREN = 'support/children'

/** Starts a peer that is killed after the test. What it writes to stderr appears in the output. */
function start(command: string, args: string[], env = process.env): ChildProcess {
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  afterTest(() => {
    child.kill()
    return exited
  })
  return child
}

/** Returns stdin and stdout of a peer as one stream. */
const stdioOf = ({ stdin, stdout }: ChildProcess): Duplex =>
  Duplex.from({ readable: stdout, writable: stdin } as never)

/** Returns what a peer prints until it ends. */
async function outputOf({ stdout }: ChildProcess): Promise<string> {
  let text = ''
  for await (const chunk of stdout as NodeJS.ReadableStream) text += chunk
  return text
}

describe('length_prefixed with littleEndian', () => {
  it('talks to a host of Chrome native messaging', async () => {
    const host = start('python3', ['-B', testPath(`${PEERS}/native_messaging.py`)])
    const channel = over(stdioOf(host), {
      protocol: 'length_prefixed',
      littleEndian: true,
      encoding: 'json',
    })
    track(channel as Channel)
    for (const message of [{ text: 'naïve 😀' }, 'x'.repeat(300_000), [], null]) {
      const { value } = await channel.request(message)
      expect(value).toEqual({ echo: message, bytes: Buffer.byteLength(JSON.stringify(message)) })
    }
  })
})

describe('content_length', () => {
  it('talks to a language server of vscode-languageserver', async () => {
    const server = start(process.execPath, [testPath(`${CHILDREN}/language-server.mjs`), '--stdio'])
    const channel = over(stdioOf(server), { protocol: 'content_length', encoding: 'json' })
    track(channel as Channel)
    let id = 0
    const call = async (method: string, params: unknown) => {
      channel.send({ jsonrpc: '2.0', id: ++id, method, params })
      return (await channel.receive())?.value
    }
    const notify = (method: string, params: unknown) =>
      channel.send({ jsonrpc: '2.0', method, params })
    const capabilities = { textDocument: {} }
    expect(
      await call('initialize', { processId: null, rootUri: null, capabilities }),
    ).toMatchObject({
      jsonrpc: '2.0',
      id: 1,
      result: {
        capabilities: { hoverProvider: true },
        serverInfo: { name: 'server of textDocument' },
      },
    })
    notify('initialized', {})
    const text = '水'.repeat(50_000)
    const textDocument = { uri: 'file:///a', languageId: 'x', version: 1, text }
    notify('textDocument/didOpen', { textDocument })
    expect((await channel.receive())?.value).toMatchObject({
      method: 'textDocument/publishDiagnostics',
      params: { uri: 'file:///a', diagnostics: [{ message: `naïve 😀 ${text}` }] },
    })
    const position = { line: 7, character: 0 }
    expect(await call('textDocument/hover', { textDocument, position })).toMatchObject({
      id: 2,
      result: { contents: 'line 7' },
    })
    expect(await call('shutdown', undefined)).toMatchObject({ id: 3, result: null })
    const exited = once(server, 'exit')
    notify('exit', undefined)
    expect(await exited).toEqual([0, null])
  })
})

describe("lines with the delimiter '\\0'", () => {
  // The first run on a machine installs varlink, which takes longer than the timeout of a test.
  beforeAll(() => void pythonWithPeers(), 300_000)

  const VARLINK = { protocol: 'lines', delimiter: '\0', encoding: 'json' } as const
  const startVarlink = (role: string, path: string) => {
    const { command, env } = pythonWithPeers()
    const args = ['-B', testPath(`${PEERS}/varlink_peer.py`), role, `unix:${path}`]
    return start(command, args, { ...env, PYTHONIOENCODING: 'utf8' })
  }

  it('calls a service of varlink', async () => {
    const path = join(temporaryDirectory(), 'service')
    const service = startVarlink('service', path)
    await once(service.stdout as Duplex, 'data')
    const channel = await connect(path, VARLINK)
    track(channel as Channel)
    const call = async (method: string, parameters = {}, more = {}) => {
      channel.send({ method, parameters, ...more })
      return (await channel.receive())?.value
    }
    expect(await call('org.varlink.service.GetInfo')).toMatchObject({
      parameters: {
        product: 'counter',
        interfaces: expect.arrayContaining(['org.example.counter']),
      },
    })
    const text = 'naïve 😀'.repeat(10_000)
    expect(await call('org.example.counter.Double', { text })).toMatchObject({
      parameters: { text: text + text },
    })
    const numbers: unknown[] = []
    let reply = await call('org.example.counter.Count', { to: 100 }, { more: true })
    for (;;) {
      const { continues, parameters } = reply as { continues?: boolean; parameters: object }
      numbers.push((parameters as { number: number }).number)
      if (continues !== true) break
      reply = (await channel.receive())?.value
    }
    expect(numbers).toEqual([...Array(101).keys()])
    expect(await call('org.example.counter.Count', { to: 2_000 })).toMatchObject({
      error: 'org.example.counter.TooFar',
      parameters: { to: 2_000 },
    })
  })

  it('serves a client of varlink', async () => {
    const path = join(temporaryDirectory(), 'service')
    const description = [
      'interface org.example.counter',
      'method Double(text: string) -> (text: string)',
      'method Count(to: int) -> (number: int)',
    ].join('\n')
    type Call = { method: string; parameters?: { text: string; to: number } }
    const server = await listen<Call, object>(path, VARLINK)
    afterTest(() => server.close())
    server.on('connection', channel => {
      channel.on('message', ({ method, parameters = { text: '', to: 0 } }) => {
        if (method.endsWith('.GetInterfaceDescription')) {
          channel.send({ parameters: { description } })
        } else if (method.endsWith('.GetInfo')) {
          const interfaces = ['org.varlink.service', 'org.example.counter']
          const info = { vendor: '', product: '', version: '', url: '', interfaces }
          channel.send({ parameters: info })
        } else if (method.endsWith('.Double')) {
          channel.send({ parameters: { text: parameters.text + parameters.text } })
        } else {
          const replies = Array.from({ length: parameters.to + 1 }, (_, number) => ({
            parameters: { number },
            continues: number < parameters.to,
          }))
          channel.sendAll(replies)
        }
      })
    })
    const output = await outputOf(startVarlink('client', path))
    const lines = output.trim().split('\n')
    expect(lines.map(line => JSON.parse(line))).toEqual(['naïve 😀naïve 😀', [0, 1, 2, 3]])
  })
})

describe('varint', () => {
  it('talks to protobufjs, with its message type as encoding', async () => {
    const definition = `syntax = "proto3";
      message Message { uint32 id = 1; string text = 2; bytes data = 3; }`
    const Message = protobuf.parse(definition).root.lookupType('Message')
    interface Fields {
      id: number
      text: string
      data: Uint8Array
    }
    const encoding = {
      encode: (value: Fields) => Message.encode(Message.create(value)).finish(),
      decode: (bytes: Buffer) => Message.toObject(Message.decode(bytes)) as Fields,
    }
    const peer = start(process.execPath, [testPath(`${CHILDREN}/protobuf.mjs`), definition])
    const channel = over(stdioOf(peer), { protocol: 'varint', encoding })
    track(channel as never)
    const sizes = [1, 100, 127, 128, 16_383, 16_384, 100_000]
    for (const size of sizes) channel.send({ id: size, text: 'é', data: Buffer.alloc(size, 7) })
    const received = (await receiveUpTo(channel as never, sizes.length)) as Fields[]
    for (const [index, { id, text, data }] of received.entries()) {
      const size = sizes[index] as number
      expect([id, text, data.length]).toEqual([size + 1, 'éé', size])
      expect(Buffer.alloc(size, 7).equals(data)).toBe(true)
    }
  })
})

describe('new Packr() of msgpackr as encoding', () => {
  it('carries values that JSON does not have, in every way of sending', async () => {
    const encoding = () => new Packr({ moreTypes: true, structuredClone: true })
    const [a, b] = pair({ protocol: 'length_prefixed', encoding: encoding() })
    const [c, d] = pair({ protocol: 'length_prefixed', encoding: new Packr() })
    for (const channel of [a, b, c, d]) track(channel as never)
    const values = [
      { at: new Date(0), set: new Set([1, 'a']), big: 2n ** 60n, data: Buffer.alloc(3, 9) },
      new Map([['key', [undefined, null, Number.NaN]]]),
      'é'.repeat(100_000),
      { nested: { list: Array.from({ length: 1_000 }, (_, i) => ({ i })) } },
    ]
    for (const value of values) a.send(value)
    a.sendAll(values)
    for (const value of [...values, ...values]) {
      expect((await b.receive())?.value).toEqual(value)
    }
    const plain = Array.from({ length: 500 }, (_, i) => ({
      id: i,
      text: `é${i}`,
      list: [i, -1 - i],
    }))
    c.sendAll(plain)
    for (const value of plain) c.send(value)
    for (const value of [...plain, ...plain]) expect((await d.receive())?.value).toEqual(value)
  })
})
