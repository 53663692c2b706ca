import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { bind, type Channel, pair } from 'fdwire'
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
  receiveValues,
  sendUntilQueued,
  track,
  withFd,
} from '../support/channels.js'

destroyChannelsAfterEach()

const raws = () => pair(RAW_DGRAM).map(one => track(one as Channel)) as [Channel, Channel]

describe('send', () => {
  it('copies: the Buffer may be changed at once, also where the message is queued', async () => {
    const [a, b] = raws()
    const buffer = Buffer.alloc(50_000, 1)
    let sent = 0
    let queued = 0
    while (queued < 5) {
      buffer.fill(++sent)
      if (!a.send(buffer)) queued++
    }
    buffer.fill(255)
    for (let i = 1; i <= sent; i++) {
      const bytes = (await b.receive())?.value as Buffer
      expect(bytes.equals(Buffer.alloc(50_000, i))).toBe(true)
    }
  })

  it('duplicates: descriptors may be closed at once, also where the message is queued', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    for (let i = 0; i < KERNEL_QUEUE_LENGTH + 5; i++) {
      const fd = openSync('/dev/full', 'r')
      sender.send(i, { fds: [fd] })
      closeSync(fd)
    }
    expect(sender.stats).toMatchObject({ queued: 5, queuedFds: 5 })
    expect(countOpen('/dev/full')).toBe(5)
    for (let i = 0; i < KERNEL_QUEUE_LENGTH + 5; i++) {
      const message = await receiver.receive()
      expect([message?.value, message?.fds.length]).toEqual([i, 1])
      message?.fds.close()
    }
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('gives false when the message is queued, and drain follows once', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    let drains = 0
    sender.on('drain', to => {
      expect(to).toBe(undefined)
      drains++
    })
    for (let round = 1; round <= 3; round++) {
      const sent = sendUntilQueued(sender)
      expect(sender.send('more')).toBe(false)
      await receiveValues(receiver, sent + 1)
      while (drains < round) await loopTurns(1)
      await loopTurns(3)
      expect(drains).toBe(round)
      expect(sender.stats.queued).toBe(0)
    }
  })

  it('on an unconnected channel queues for each destination alone', async () => {
    const sender = track(await bind('', JSONCOMM))
    const [full, free] = [await boundChannel(), await boundChannel()]
    const to = full.localAddress as string
    sendUntilQueued(sender, { to })
    for (let i = 0; i < 5; i++) {
      expect(sender.send(i, { to: free.localAddress as string })).toBe(true)
    }
    expect(await receiveValues(free, 5)).toEqual([0, 1, 2, 3, 4])
    const drained = once(sender, 'drain')
    await receiveValues(full, KERNEL_QUEUE_LENGTH + 1)
    expect(await drained).toEqual([to])
  })

  it('keeps the order of what is queued and what comes later', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    const heard: unknown[] = []
    let sent = 0
    const send = () => void sender.send(sent++)
    for (let i = 0; i < 100; i++) send()
    receiver.on('message', value => {
      heard.push(value)
      if (sent < 1_000) send()
    })
    while (heard.length < 1_000) await loopTurns(1)
    expect(heard).toEqual([...Array(1_000).keys()])
  })

  it('that throws queues nothing, and leaves the channel usable', async () => {
    const [a, b] = channelPair({ maxFds: 2 })
    const cycle: unknown[] = []
    cycle.push(cycle)
    await withFd(fd => {
      const wrong: [unknown, object | undefined, unknown][] = [
        [undefined, undefined, errorWithCode('UNENCODABLE')],
        [() => {}, undefined, errorWithCode('UNENCODABLE')],
        [Symbol(), undefined, errorWithCode('UNENCODABLE')],
        [1n, undefined, errorWithCode('UNENCODABLE')],
        [cycle, undefined, errorWithCode('UNENCODABLE')],
        [{ toJSON: () => undefined }, undefined, errorWithCode('UNENCODABLE')],
        [1, { fds: [9_999] }, errorWithCode('EBADF')],
        [1, { fds: [fd, 9_999] }, errorWithCode('EBADF')],
        [1, { fds: [-1] }, expect.any(RangeError)],
        [1, { fds: fd }, expect.any(TypeError)],
        [1, { fds: [fd, fd, fd] }, errorWithCode('TOO_MANY_FDS')],
        [1, { to: '/tmp/x' }, errorWithCode('BAD_ADDRESS')],
        [1, { two: 1 }, expect.any(TypeError)],
        ['x'.repeat(300_000), undefined, errorWithCode('EMSGSIZE')],
      ]
      for (const [value, options, error] of wrong) {
        expect(() => a.send(value, options)).toThrow(error as Error)
        expect(a.stats).toMatchObject({ sent: 0, queued: 0, queuedBytes: 0, queuedFds: 0 })
      }
    })
    a.send('still here')
    expect(await receiveValues(b, 1)).toEqual(['still here'])
  })

  it('to nowhere throws, and leaves the channel usable', async () => {
    const sender = track(await bind('', JSONCOMM))
    const receiver = await boundChannel()
    const gone = await boundChannel()
    const dead = gone.localAddress as string
    gone.destroy()
    const wrong: [unknown, unknown][] = [
      [undefined, expect.objectContaining({ syscall: 'sendmsg' })],
      [null, errorWithCode('BAD_ADDRESS')],
      ['', errorWithCode('BAD_ADDRESS')],
      [7, expect.any(TypeError)],
      [`/${'x'.repeat(108)}`, errorWithCode('BAD_ADDRESS')],
      [Buffer.alloc(200, 1), errorWithCode('BAD_ADDRESS')],
      ['/a\0b', errorWithCode('BAD_ADDRESS')],
      ['/\ud800', errorWithCode('ILL_FORMED_TEXT')],
      ['/nowhere/at/all', errorWithCode('ENOENT')],
      [dead, errorWithCode('ECONNREFUSED')],
    ]
    for (const [to, error] of wrong) {
      expect(() => sender.send(1, { to: to as string })).toThrow(error as Error)
      expect(() => sender.sendAll([1, 2], { to: to as string })).toThrow(error as Error)
    }
    expect(() => sender.send(1, { to: dead })).toThrow(
      expect.objectContaining({ dest: dead, errno: -111 }),
    )
    expect(sender.send(1, { to: receiver.localAddress as string })).toBe(true)
    expect(await receiveValues(receiver, 1)).toEqual([1])
  })

  it('to a relative path that came as a sender’s name throws, unless it is allowed', async () => {
    const server = track(await bind('', JSONCOMM))
    const names = [
      `fdwire-rel-${process.pid}`,
      Buffer.from(`fdwire-rel-${process.pid}\xff`, 'latin1'),
    ]
    for (const name of names) {
      const client = track(await bind(name, JSONCOMM))
      client.send(1, { to: server.localAddress as string })
      const from = (await server.receive())?.from as string
      expect(from).toEqual(name)
      expect(() => server.send(2, { to: from })).toThrow(errorWithCode('BAD_ADDRESS'))
      server.send(2, { to: from, allowRelative: true })
      expect(await receiveValues(client, 1)).toEqual([2])
      await client.close()
    }
  })

  it('refuses what a full queue can not hold, and takes one large message into an empty one', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver, { maxQueued: 100, maxQueuedFds: 3 })
    for (let i = 0; i < KERNEL_QUEUE_LENGTH; i++) sender.send(i)
    expect(sender.send('x'.repeat(1_000))).toBe(false)
    expect(() => sender.send(1)).toThrow(errorWithCode('QUEUE_FULL'))
    expect(sender.stats).toMatchObject({ queued: 1, queuedBytes: 1_002 })
    await receiveValues(receiver, KERNEL_QUEUE_LENGTH + 1)
    await sender.flush()
    await withFd(fd => {
      while (sender.send(1)) {}
      sender.send(2, { fds: [fd, fd, fd] })
      expect(() => sender.send(3, { fds: [fd] })).toThrow(errorWithCode('QUEUE_FULL'))
      sender.send(4)
    }, '/dev/full')
    for (let value: unknown; value !== 4; ) {
      const message = await receiver.receive()
      message?.fds.close()
      value = message?.value
    }
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('a message that fails later is undelivered, and harms nobody else', async () => {
    const sender = track(await bind('', JSONCOMM))
    const [dies, lives] = [await boundChannel(), await boundChannel()]
    const [dead, to] = [dies.localAddress as string, lives.localAddress as string]
    sendUntilQueued(sender, { to: dead })
    const undelivered = once(sender, 'undelivered')
    const flushed = sender.flush()
    dies.destroy()
    const [error, details] = await undelivered
    expect(error).toMatchObject({ code: 'ECONNREFUSED', syscall: 'sendmsg', dest: dead })
    expect(details).toEqual({ to: dead })
    await expect(flushed).rejects.toBe(error)
    expect(sender.stats).toMatchObject({ undelivered: 1, queued: 0 })
    sender.send(1, { to })
    expect(await receiveValues(lives, 1)).toEqual([1])
  })
})

describe('flush', () => {
  it('resolves when the kernel has everything sent before, and not what was sent after', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    await sender.flush()
    sendUntilQueued(sender)
    let flushed = false
    const first = sender.flush().then(() => {
      flushed = true
    })
    for (let i = 0; i < 50; i++) sender.send('after')
    await loopTurns(5)
    expect(flushed).toBe(false)
    await receiveValues(receiver, 1)
    await first
    expect(sender.stats.queued).toBeGreaterThan(30)
    await Promise.all([sender.flush(), receiveValues(receiver, KERNEL_QUEUE_LENGTH + 50)])
    expect(sender.stats.queued).toBe(0)
  })
})

describe('sendAll', () => {
  const toJSON = () => 'by toJSON'
  const nested = { a: { toJSON: (key: string) => `nested ${key}` } }
  const GOOD: Record<string, unknown[]> = {
    nothing: [],
    one: [1],
    scalars: [1, -0, 1e21, NaN, Infinity, 'a', '', 'é', '😀', '\ud800', true, null],
    structures: [[], {}, [[]], [1, [2, { a: ']' }]], { 'a,b': '[{' }],
    strings: ['","', '\\', '"', '],[', '\u2028', '\u0000', '},{'],
    undefinedInside: [[undefined, () => {}, Symbol()], { a: undefined }],
    dates: [new Date(0), { at: new Date(1) }],
    topToJSON: [1, { toJSON }, 2],
    keyOfToJSON: [{ toJSON: (key: string) => ({ key }) }],
    arrayWithToJSON: [Object.assign([1], { toJSON })],
    functionWithToJSON: [Object.assign(() => {}, { toJSON })],
    nestedToJSON: [nested, [nested], nested],
    boxed: [new Number(1), new String('s'), new Boolean(false), Object(Symbol())],
    typed: [new Uint8Array(2), new Map([[1, 2]]), /x/, new Error('e')],
    inherited: [Object.create({ toJSON }), Object.create({ a: 1 }), Object.create(null)],
    big: Array.from({ length: 5_000 }, (_, i) => ({ i, text: 'x'.repeat(i % 70) })),
  }

  /** All messages that a call sends, as bytes. */
  async function bytesOf(send: (sender: Channel) => void, count: number): Promise<string[]> {
    const [a, b] = channelPair()
    const reader = track((await import('fdwire')).adopt(b.detach(), RAW_DGRAM))
    const texts: string[] = []
    reader.on('message', value => texts.push((value as Buffer).toString()))
    send(a)
    while (texts.length < count) await loopTurns(1)
    await loopTurns(2)
    return texts
  }

  it.each(Object.entries(GOOD))('sends the bytes that send does: %s', async (_, values) => {
    const one = await bytesOf(
      sender => values.forEach(value => void sender.send(value)),
      values.length,
    )
    const all = await bytesOf(sender => void sender.sendAll(values), values.length)
    expect(all).toEqual(one)
    const set = new Set(values)
    expect(await bytesOf(sender => void sender.sendAll(set), set.size)).toHaveLength(set.size)
  })

  it('honours a toJSON that all objects or arrays have', async () => {
    for (const prototype of [Object.prototype, Array.prototype, Number.prototype]) {
      Object.defineProperty(prototype, 'toJSON', { value: toJSON, configurable: true })
      try {
        const values = [[1], 1]
        const one = await bytesOf(sender => values.forEach(value => void sender.send(value)), 2)
        expect(await bytesOf(sender => void sender.sendAll(values), 2)).toEqual(one)
      } finally {
        delete (prototype as { toJSON?: unknown }).toJSON
      }
    }
  })

  it('throws with the index of a value that can not be encoded, and sends nothing', async () => {
    const [a, b] = channelPair()
    const cycle: unknown[] = []
    cycle.push(cycle)
    const throws = {
      toJSON() {
        throw new Error('mine')
      },
    }
    const hole = [1, 2]
    hole[3] = 4
    const bad: [unknown[], number][] = [
      [[1, undefined], 1],
      [[() => {}, 1], 0],
      [[1, 2, Symbol()], 2],
      [[1, 2, 3n], 2],
      [[cycle], 0],
      [[1, { deep: [throws] }], 1],
      [[1, { toJSON: () => undefined }], 1],
      [hole, 2],
    ]
    for (const [values, index] of bad) {
      expect(() => a.sendAll(values)).toThrow(
        expect.objectContaining({ code: 'ERR_FDWIRE_UNENCODABLE', index }),
      )
    }
    expect(a.stats).toMatchObject({ sent: 0, queued: 0 })
    a.sendAll(['good'])
    expect(await receiveValues(b, 1)).toEqual(['good'])
    const [raw] = raws()
    expect(() => raw.sendAll(['a', '\ud800'])).toThrow(expect.objectContaining({ index: 1 }))
    expect(() => raw.sendAll(['a', 1])).toThrow(expect.objectContaining({ index: 1 }))
  })

  it('throws with how many were sent when the kernel refuses one, or the queue is full', async () => {
    const [a, b] = channelPair()
    const large = 'x'.repeat(300_000)
    for (const values of [
      [1, 2, large, 3],
      [1, 2, Object.assign(new String(large), { toJSON: () => large }), 3],
    ]) {
      expect(() => a.sendAll(values)).toThrow(
        expect.objectContaining({ code: 'EMSGSIZE', sent: 2 }),
      )
      expect(await receiveValues(b, 2)).toEqual([1, 2])
    }
    const receiver = await boundChannel()
    const sender = await connectTo(receiver, { maxQueued: 100 })
    const values = Array.from({ length: 500 }, (_, i) => i)
    let sent = 0
    try {
      sender.sendAll(values)
    } catch (error) {
      expect(error).toEqual(errorWithCode('QUEUE_FULL'))
      sent = (error as { sent: number }).sent
    }
    expect(sent).toBe(sender.stats.sent)
    expect(await receiveValues(receiver, sent)).toEqual(values.slice(0, sent))
  })

  it('gives false when any had to be queued, whichever way it goes', async () => {
    for (const value of [1, { toJSON: () => 1 }]) {
      const receiver = await boundChannel()
      const sender = await connectTo(receiver)
      expect(sender.sendAll(Array(KERNEL_QUEUE_LENGTH).fill(value))).toBe(true)
      expect(sender.sendAll([value])).toBe(false)
      await receiveValues(receiver, KERNEL_QUEUE_LENGTH + 1)
      await sender.flush()
      expect(sender.sendAll(Array(KERNEL_QUEUE_LENGTH + 1).fill(value))).toBe(false)
    }
  })

  it('sends to a destination, and refuses what is no option or list', async () => {
    const sender = track(await bind('', JSONCOMM))
    const receiver = await boundChannel()
    const to = receiver.localAddress as string
    sender.sendAll([1, 2, 3], { to })
    expect(await receiveValues(receiver, 3)).toEqual([1, 2, 3])
    expect(() => sender.sendAll([1], { to, fds: [1] })).toThrow(TypeError)
    expect(() => sender.sendAll([1], { to, too: 1 } as never)).toThrow(TypeError)
    for (const wrong of [5, null, undefined, { length: 2 }]) {
      expect(() => sender.sendAll(wrong as never, { to })).toThrow(TypeError)
    }
  })

  it('of raw sends every value as send does', async () => {
    const [a, b] = raws()
    const values = ['é', Buffer.of(1), new DataView(new ArrayBuffer(2)), '', new Uint16Array(1)]
    a.sendAll(values)
    const bytes = (await receiveValues(b, 5)) as Buffer[]
    expect(bytes.map(one => [...one])).toEqual([[0xc3, 0xa9], [1], [0, 0], [], [0, 0]])
  })
})
