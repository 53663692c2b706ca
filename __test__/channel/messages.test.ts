import { execFile } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { bind, connect, type FdwireError, type From, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  connectTo,
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  KERNEL_QUEUE_LENGTH,
  loopTurns,
  RAW_DGRAM,
  rawDgramPair,
  receiveValues,
  track,
  withFd,
} from '../support/channels.js'

destroyChannelsAfterEach()

describe('the set of a message without descriptors', () => {
  it('is the same, frozen and empty, by listener, receive and iteration', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 3; i++) a.send(i)
    const [, byListener] = await once(b, 'message')
    const byReceive = (await b.receive())?.fds
    const { value } = await b[Symbol.asyncIterator]().next()
    expect(new Set([byListener, byReceive, value?.fds]).size).toBe(1)
    expect([byListener.length, Object.isFrozen(byListener)]).toEqual([0, true])
  })
})

describe('the sender of a message', () => {
  it('is a name, null without one, and undefined on a connected channel', async () => {
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

  it('is a Buffer of its own where it is not UTF-8, which send takes', async () => {
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

describe('a malformed message', () => {
  it('is an event of its own, in its place, with code, sample and sender', async () => {
    const [sender, receiver] = await rawDgramPair({ maxMessage: 100, maxFds: 1 })
    const told: unknown[] = []
    receiver.on('message', value => told.push(value))
    receiver.on('malformed', (error: FdwireError, from) => {
      expect(from).toBe(sender.localAddress)
      told.push([error.code, error.fault, error.sample?.toString('latin1')])
    })
    await withFd(fd => {
      sender.send('1')
      sender.send('{"no":')
      sender.send('')
      sender.send(Buffer.of(0x22, 0xff, 0x22))
      sender.send(`"${'x'.repeat(200)}"`)
      sender.send('2', { fds: [fd, fd] })
      sender.send('3')
    }, '/dev/full')
    while (told.length < 7) await loopTurns(1)
    expect(told).toEqual([
      1,
      ['ERR_FDWIRE_NOT_JSON', 'peer', '{"no":'],
      ['ERR_FDWIRE_EMPTY_MESSAGE', 'peer', ''],
      ['ERR_FDWIRE_NOT_UTF8', 'peer', '"\xff"'],
      ['ERR_FDWIRE_MESSAGE_TOO_LARGE', 'peer', `"${'x'.repeat(31)}`],
      ['ERR_FDWIRE_TOO_MANY_FDS', 'peer', '2'],
      3,
    ])
    expect(receiver.stats).toMatchObject({ received: 2, receivedBytes: 2, malformed: 5 })
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('that is not JSON has its descriptors closed', async () => {
    const [sender, receiver] = await rawDgramPair()
    await withFd(fd => sender.send('no', { fds: [fd, fd] }), '/dev/full')
    sender.send('1')
    expect(await receiveValues(receiver, 1)).toEqual([1])
    expect(countOpen('/dev/full')).toBe(0)
    expect(receiver.stats).toMatchObject({ received: 1, receivedFds: 0, malformed: 1, openFds: 0 })
  })

  it('is counted and published where nobody listens', async () => {
    const [sender, receiver] = await rawDgramPair()
    const published: unknown[] = []
    const subscriber = (message: unknown) => published.push(message)
    subscribe('fdwire:malformed', subscriber)
    sender.send('no')
    sender.send('1')
    expect(await receiveValues(receiver, 1)).toEqual([1])
    unsubscribe('fdwire:malformed', subscriber)
    expect(published).toMatchObject([
      { channel: receiver, error: { code: 'ERR_FDWIRE_NOT_JSON' }, from: sender.localAddress },
    ])
    expect(receiver.stats.malformed).toBe(1)
  })

  it('does not resolve a receive(), which gets the next', async () => {
    const [sender, receiver] = await rawDgramPair()
    const received = receiver.receive()
    sender.send('no')
    await loopTurns(3)
    sender.send('1')
    expect((await received)?.value).toBe(1)
  })
})

describe('texts that come in one burst', () => {
  const ADVERSARIAL = [
    '1',
    '"a"',
    '"é"',
    '"\\""',
    '"\\\\"',
    '"]"',
    '"[1,2"',
    '{"a":[1,2,{"b":"}"}]}',
    '[]',
    '{}',
    'null',
    ' 1 ',
    '\n[\t]\r',
    '"\\u0000"',
    '"\u2028"',
    '-0',
    '1e400',
    '{"__proto__":1}',
    '{"a":1,"a":2}',
    '"😀"',
    // None of these is a text of its own, whatever stands beside it.
    '1,2',
    '1],[2',
    '[1',
    '2]',
    '{"a":1',
    '"b":2}',
    '"',
    '"a',
    'a"',
    '\\',
    '"\\',
    '',
    ' ',
    ',',
    '[,]',
    '}{',
    '][',
    '/*1*/1',
    '\ufeff1',
    'NaN',
    'undefined',
    "'a'",
    '01',
    '1//',
    '{"a":1},',
    '[1,]',
  ]

  const verdict = (text: string): unknown => {
    try {
      return { value: JSON.parse(text) }
    } catch {
      return { bad: text.slice(0, 32) }
    }
  }

  /** What a channel makes of texts, each burst in one turn. */
  async function deliver(bursts: string[][]): Promise<unknown[][]> {
    const [sender, receiver] = await rawDgramPair()
    let told: unknown[] = []
    receiver.on('message', value => told.push({ value }))
    receiver.on('malformed', ({ sample }) => told.push({ bad: sample?.toString() }))
    const all: unknown[][] = []
    for (const burst of bursts) {
      told = []
      for (const text of burst) expect(sender.send(text)).toBe(true)
      while (told.length < burst.length) await loopTurns(1)
      all.push(told)
    }
    return all
  }

  it('are what JSON.parse makes of each alone, in every pair and among good ones', async () => {
    const bursts = ADVERSARIAL.flatMap(one => [
      ...ADVERSARIAL.map(other => [one, other]),
      ['1', one, '2'],
      ['"é"', one, '[]', one],
    ])
    const expected = bursts.map(burst => burst.map(verdict))
    expect(await deliver(bursts)).toEqual(expected)
  })

  it('are so when chosen at random', async () => {
    let seed = 1
    const random = (below: number) => {
      seed = (seed * 48_271) % 0x7fff_ffff
      return seed % below
    }
    const pieces = ['"', '\\', '[', ']', '{', '}', ',', ':', '1', 'a', ' ', 'é', 'null', '""', '[]']
    const text = () => Array.from({ length: random(6) }, () => pieces[random(15)]).join('')
    const some = () => (random(3) ? (ADVERSARIAL[random(ADVERSARIAL.length)] as string) : text())
    const bursts = Array.from({ length: 3_000 }, () =>
      Array.from({ length: 2 + random(KERNEL_QUEUE_LENGTH - 2) }, some),
    )
    const expected = bursts.map(burst => burst.map(verdict))
    expect(await deliver(bursts)).toEqual(expected)
  })
})

describe('messages of any size arrive whole', () => {
  it('up to the largest that the kernel takes, and many of them', async () => {
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

  it('larger than the shared memory, too', async () => {
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

describe('a Buffer of the raw protocol', () => {
  const raws = () =>
    pair(RAW_DGRAM).map(track) as [ReturnType<typeof track>, ReturnType<typeof track>]

  it('is a copy that nothing overwrites', async () => {
    const [a, b] = raws()
    const held: Buffer[] = []
    for (let i = 0; i < 2_000; i++) {
      a.send(Buffer.alloc(100 + (i % 50), i % 256))
      held.push((await b.receive())?.value as Buffer)
    }
    held.forEach((bytes, i) => {
      expect(bytes.equals(Buffer.alloc(100 + (i % 50), i % 256))).toBe(true)
    })
  })

  it('has memory that can not be transferred away from its neighbours', async () => {
    const [a, b] = raws()
    a.send('one')
    const { value } = (await b.receive()) as { value: Buffer }
    try {
      structuredClone(value, { transfer: [value.buffer as ArrayBuffer] })
    } catch (error) {
      // Newer versions of Node say so, others copy instead.
      expect(error).toMatchObject({ name: 'DataCloneError' })
    }
    expect(value.toString()).toBe('one')
  })

  it('is aligned for every typed array', async () => {
    const [a, b] = raws()
    for (const text of ['1', '12345', '12345678']) a.send(text)
    for (let i = 0; i < 3; i++) {
      const [bytes] = (await receiveValues(b, 1)) as [Buffer]
      expect(bytes.byteOffset % 8).toBe(0)
    }
  })

  it('is what any view of bytes, a string or nothing was', async () => {
    const [a, b] = raws()
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

  it('is nothing else', () => {
    const [a] = raws()
    for (const wrong of [1, null, undefined, {}, [1], new ArrayBuffer(1), true]) {
      expect(() => a.send(wrong)).toThrow(TypeError)
    }
    expect(() => a.send('\ud800')).toThrow(errorWithCode('ILL_FORMED_TEXT'))
  })
})
