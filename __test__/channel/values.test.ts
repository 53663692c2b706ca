import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { bind, connect, type From, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  connectTo,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  RAW_DGRAM,
  receiveValues,
  track,
} from '../support/channels.js'

destroyChannelsAfterEach()

describe('the FdSet of a message without descriptors', () => {
  it('is the same frozen empty set in a listener, receive and an iteration', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 3; i++) a.send(i)
    const [, byListener] = await once(b, 'message')
    const byReceive = (await b.receive())?.fds
    const { value } = await b[Symbol.asyncIterator]().next()
    expect(new Set([byListener, byReceive, value?.fds]).size).toBe(1)
    expect([byListener.length, Object.isFrozen(byListener)]).toEqual([0, true])
  })
})

describe('the from of a message', () => {
  it('is an address, null for an unnamed sender, and undefined on a connected channel', async () => {
    const receiver = await boundChannel()
    const to = receiver.localAddress as string
    const named = await connectTo(receiver)
    const unnamed = track(await connect(to, { ...JSONCOMM, localAddress: null }))
    const other = await connectTo(receiver)
    for (const sender of [named, named, unnamed, named, other, unnamed]) sender.send(0)
    const from: From[] = []
    for (let i = 0; i < 6; i++) from.push((await receiver.receive())?.from)
    const [name, second] = [named.localAddress, other.localAddress]
    expect(from).toEqual([name, name, null, name, second, null])
    receiver.send(1, { to: name as string })
    expect((await named.receive())?.from).toBe(undefined)
  })

  it('is a separate Buffer if it is not UTF-8, and send accepts it', async () => {
    const receiver = await boundChannel()
    const to = receiver.localAddress as string
    const localAddress = Buffer.concat([Buffer.from(`\0fdwire-${process.pid}`), Buffer.of(0xff)])
    const sender = track(await connect(to, { ...JSONCOMM, localAddress }))
    sender.send(0)
    sender.send(1)
    const first = (await receiver.receive())?.from as Buffer
    first.fill(0)
    const second = (await receiver.receive())?.from as Buffer
    expect(second).toEqual(localAddress)
    receiver.send('back', { to: second })
    expect(await receiveValues(sender, 1)).toEqual(['back'])
  })
})

describe('a message of any size', () => {
  it('arrives whole, up to the limit of the kernel', async () => {
    const [a, b] = channelPair()
    const texts = [0, 1, 100, 65_535, 100_000, 212_000].map(length => 'x'.repeat(length))
    for (const text of texts) {
      for (const one of [text, `é${text.slice(9)}`]) {
        a.send(one)
        a.send('between')
        expect(await receiveValues(b, 2)).toEqual([one, 'between'])
      }
    }
  })

  it("arrives whole if it is larger than the channel's slab", async () => {
    const receiver = await boundChannel()
    const raw = track(await bind(`${receiver.localAddress}-raw`, RAW_DGRAM))
    const program = `
import json, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    for name in sys.argv[1:]:
        s.connect(chr(0) + name)
        s.send(json.dumps("x" * 3000000).encode())
        s.send(json.dumps("é" * 400000, ensure_ascii=False).encode())
        s.send(b'"' + b"y" * 600000)
        s.send(b'"next"')
`
    const names = [receiver, raw].map(({ localAddress }) => String(localAddress).slice(1))
    const python = promisify(execFile)('python3', ['-c', program, ...names])
    const malformed = once(receiver, 'malformed')
    const values = await receiveValues(receiver, 3)
    const bytes = (await receiveValues(raw, 4)) as Buffer[]
    expect(values).toEqual(['x'.repeat(3_000_000), 'é'.repeat(400_000), 'next'])
    expect((await malformed)[0].sample).toEqual(Buffer.from(`"${'y'.repeat(31)}`))
    expect(bytes.map(({ length }) => length)).toEqual([3_000_002, 800_002, 600_001, 6])
    expect(bytes[0]?.equals(Buffer.from(`"${'x'.repeat(3_000_000)}"`))).toBe(true)
    await python
  })
})

describe('the raw protocol', () => {
  const rawPair = () =>
    pair(RAW_DGRAM).map(track) as [ReturnType<typeof track>, ReturnType<typeof track>]

  it('delivers a copy that later messages do not overwrite', async () => {
    const [a, b] = rawPair()
    const held: Buffer[] = []
    for (let i = 0; i < 2_000; i++) {
      a.send(Buffer.alloc(100 + (i % 50), i % 256))
      held.push((await b.receive())?.value as Buffer)
    }
    held.forEach((bytes, i) => {
      expect(bytes.equals(Buffer.alloc(100 + (i % 50), i % 256))).toBe(true)
    })
  })

  it('delivers a Buffer that a transfer cannot detach', async () => {
    const [a, b] = rawPair()
    a.send('one')
    const { value } = (await b.receive()) as { value: Buffer }
    try {
      structuredClone(value, { transfer: [value.buffer as ArrayBuffer] })
    } catch (error) {
      // Newer versions of Node throw, older ones copy instead.
      expect(error).toMatchObject({ name: 'DataCloneError' })
    }
    expect(value.toString()).toBe('one')
  })

  it('delivers Buffers that are aligned for every typed array', async () => {
    const [a, b] = rawPair()
    for (const text of ['1', '12345', '12345678']) a.send(text)
    for (let i = 0; i < 3; i++) {
      const [bytes] = (await receiveValues(b, 1)) as [Buffer]
      expect(bytes.byteOffset % 8).toBe(0)
    }
  })

  it('delivers the bytes of the string or view that was sent', async () => {
    const [a, b] = rawPair()
    const memory = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer
    const sent: [unknown, number[]][] = [
      [Buffer.from(memory, 2, 3), [3, 4, 5]],
      [new Uint8Array(memory, 1, 2), [2, 3]],
      [new Uint16Array(memory, 2, 1), [3, 4]],
      [new Float64Array(memory), [1, 2, 3, 4, 5, 6, 7, 8]],
      [new DataView(memory, 7), [8]],
      ['é', [0xc3, 0xa9]],
      ['', []],
      [new Uint8Array(), []],
      [Buffer.alloc(30_000, 7), Array(30_000).fill(7)],
    ]
    for (const [value, bytes] of sent) {
      a.send(value)
      expect((await b.receive())?.value).toEqual(Buffer.from(bytes))
    }
  })

  it('rejects values of other types', () => {
    const [a] = rawPair()
    for (const wrong of [1, null, undefined, {}, [1], new ArrayBuffer(1), true]) {
      expect(() => a.send(wrong)).toThrow(TypeError)
    }
    expect(() => a.send('\ud800')).toThrow(errorWithCode('ILL_FORMED_TEXT'))
  })
})
