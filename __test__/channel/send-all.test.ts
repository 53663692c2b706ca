import { bind, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  connectTo,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  KERNEL_QUEUE_LENGTH,
  loopTurns,
  RAW_DGRAM,
  receiveValues,
  track,
} from '../support/channels.js'

destroyChannelsAfterEach()

const rawPair = () => pair(RAW_DGRAM).map(one => track(one as Channel)) as [Channel, Channel]

describe('sendAll', () => {
  const toJSON = () => 'by toJSON'
  const nested = { a: { toJSON: (key: string) => `nested ${key}` } }
  const ENCODABLE: Record<string, unknown[]> = {
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

  /** Returns the bytes of each message that `send` sends. */
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

  it.each(Object.entries(ENCODABLE))('sends the same bytes as send: %s', async (_, values) => {
    const one = await bytesOf(
      sender => values.forEach(value => void sender.send(value)),
      values.length,
    )
    const all = await bytesOf(sender => void sender.sendAll(values), values.length)
    expect(all).toEqual(one)
    const set = new Set(values)
    expect(await bytesOf(sender => void sender.sendAll(set), set.size)).toHaveLength(set.size)
  })

  it('calls a toJSON of Object.prototype, Array.prototype or Number.prototype', async () => {
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

  it('throws with the index of a value that cannot be encoded, and sends nothing', async () => {
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
    const unencodable: [unknown[], number][] = [
      [[1, undefined], 1],
      [[() => {}, 1], 0],
      [[1, 2, Symbol()], 2],
      [[1, 2, 3n], 2],
      [[cycle], 0],
      [[1, { deep: [throws] }], 1],
      [[1, { toJSON: () => undefined }], 1],
      [hole, 2],
    ]
    for (const [values, index] of unencodable) {
      expect(() => a.sendAll(values)).toThrow(
        expect.objectContaining({ code: 'ERR_FDWIRE_UNENCODABLE', index }),
      )
    }
    expect(a.stats).toMatchObject({ sent: 0, queued: 0 })
    a.sendAll(['good'])
    expect(await receiveValues(b, 1)).toEqual(['good'])
    const [raw] = rawPair()
    expect(() => raw.sendAll(['a', '\ud800'])).toThrow(expect.objectContaining({ index: 1 }))
    expect(() => raw.sendAll(['a', 1])).toThrow(expect.objectContaining({ index: 1 }))
  })

  it('throws with the number of sent messages if the kernel rejects one or the queue is full', async () => {
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

  it('returns false if any message is queued, on the fast and the slow path', async () => {
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

  it('sends to a destination, and rejects invalid options and lists', async () => {
    const sender = track(await bind(null, JSONCOMM))
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

  it('sends raw values as send does', async () => {
    const [a, b] = rawPair()
    const values = ['é', Buffer.of(1), new DataView(new ArrayBuffer(2)), '', new Uint16Array(1)]
    a.sendAll(values)
    const bytes = (await receiveValues(b, 5)) as Buffer[]
    expect(bytes.map(one => [...one])).toEqual([[0xc3, 0xa9], [1], [0, 0], [], [0, 0]])
  })
})
