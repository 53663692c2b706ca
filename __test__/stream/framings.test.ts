import { type Channel, Codec } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode } from '../support/channels.js'
import { expectSame } from '../support/stream-values.js'
import { rawStreamPair, receiveUpTo, runCleanupsAfterEach, streamPair } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

const UNENCODABLE = errorWithCode('ERR_FDWIRE_UNENCODABLE')

/** Ways to send values: each takes another path to native code. */
const SENDERS = [
  ['send', (channel, values) => values.map(value => channel.send(value))],
  ['send with options', (channel, values) => values.map(value => channel.send(value, {}))],
  ['sendAll', (channel, values) => channel.sendAll(values)],
  [
    'send in several ticks',
    async (channel, values) => {
      for (const value of values) {
        channel.send(value)
        await channel.flush()
      }
    },
  ],
] as const satisfies [string, (channel: Any, values: unknown[]) => unknown][]
// biome-ignore lint/suspicious/noExplicitAny: channels of any protocol
type Any = any

/** Values of every path: gathered, medium, long, and views that are not gathered. */
const bodiesOf = (unit: string): string[] => [
  '',
  unit,
  unit.repeat(150),
  unit.repeat(2_000),
  unit.repeat(40_000),
]

/** Asserts that what a channel sends is the frames of `Codec`, which an equal channel receives. */
async function expectFrames(options: Any, values: unknown[]): Promise<void> {
  const { protocol, ...own } = options
  const codec = new Codec(protocol, own)
  const frames = Buffer.concat(values.map(value => codec.encode(value as never)))
  for (const [name, sendAll] of SENDERS) {
    const [raw, channel] = rawStreamPair(options)
    const received = (async () => {
      const chunks: Buffer[] = []
      for await (const { value } of raw) chunks.push(value)
      return Buffer.concat(chunks)
    })()
    await sendAll(channel, values)
    channel.end()
    expect((await received).equals(frames), `${name} with ${JSON.stringify(own)}`).toBe(true)
    const [a, b] = streamPair(options)
    const got = receiveUpTo(b, values.length)
    await sendAll(a, values)
    expectSame(await got, values)
  }
}

/** Asserts that one message arrives before the channel fails. */
async function expectFailure(channel: Channel, message: string, code: string): Promise<void> {
  const [first, second] = await Promise.allSettled([channel.receive(), channel.receive()])
  expect(first).toMatchObject({ value: { value: Buffer.from(message) } })
  expect(second).toMatchObject({ reason: { code } })
}

describe('a delimiter', () => {
  const DELIMITERS = ['\0', '\r\n', '|', '::', 'abab', 'aa', '\r\n\r\n', '–', '0123456789abcdef']

  it.each(DELIMITERS)('ends each message, sent in any way: %j', async delimiter => {
    const texts = [...bodiesOf('x'), ...bodiesOf('é水'), 'a\nb']
    await expectFrames({ protocol: 'lines', delimiter }, texts)
    const bytes = texts.map(text => Buffer.from(text))
    await expectFrames({ protocol: 'lines', delimiter, encoding: 'buffer' }, bytes)
    await expectFrames({ protocol: 'lines', delimiter: Buffer.from(delimiter) }, texts)
  })

  it.each(DELIMITERS)(
    'is refused within a message of any encoding and length, and nothing is sent: %j',
    async delimiter => {
      for (const filler of ['', 'x'.repeat(150), 'x'.repeat(2_000), 'x'.repeat(40_000)]) {
        const text = `${filler}${delimiter}${filler}`
        for (const [encoding, value] of [
          ['text', text],
          ['buffer', text],
          ['buffer', Buffer.from(text)],
          ['buffer', new DataView(new Uint8Array(Buffer.from(text)).buffer)],
        ] as const) {
          const [a, b] = streamPair({ protocol: 'lines', delimiter, encoding })
          a.send('before')
          expect(() => a.send(value)).toThrow(UNENCODABLE)
          expect(() => a.send(value, {})).toThrow(UNENCODABLE)
          expect(() => a.sendAll(['one', value, 'two'])).toThrow(
            expect.objectContaining({ code: 'ERR_FDWIRE_UNENCODABLE', index: 1 }),
          )
          expect(() => new Codec('lines', { delimiter, encoding }).encode(value as never)).toThrow(
            UNENCODABLE,
          )
          a.send('after')
          expect((await receiveUpTo(b, 2)).map(String)).toEqual(['before', 'after'])
        }
      }
    },
  )

  it.each([
    ['a', 'aa'],
    ['xa', 'aa'],
    ['xab', 'abab'],
    ['x\r\n', '\r\n\r\n'],
    ['x'.repeat(1_000).concat('a'), 'aa'],
  ])(
    'is refused if it begins in the message and ends in the delimiter: %j before %j',
    async (value, delimiter) => {
      const [a, b] = streamPair({ protocol: 'lines', delimiter })
      expect(() => a.send(value)).toThrow(UNENCODABLE)
      expect(() => a.sendAll(['one', value])).toThrow(UNENCODABLE)
      expect(() => a.send(value, { fds: [] })).toThrow(UNENCODABLE)
      a.send('fine')
      expect(await receiveUpTo(b, 1)).toEqual(['fine'])
    },
  )

  it.each(['"', '}', ',', 'é', '":1', '\x7f'])(
    'is refused in the text of a JSON value: %j',
    async delimiter => {
      const [a, b] = streamPair({ protocol: 'lines', encoding: 'json', delimiter })
      const value = { é: [1, 1, 'a":1\x7f'] }
      expect(() => a.send(value)).toThrow(UNENCODABLE)
      expect(() => a.sendAll([1, value, 2])).toThrow(expect.objectContaining({ index: 1 }))
      a.sendAll([1, 2, 3])
      expect(await receiveUpTo(b, 3)).toEqual([1, 2, 3])
    },
  )

  it.each(['\n', '\0', '\r\n', 'a\nb'])(
    'of a control character is in no JSON text: %j',
    async delimiter => {
      const values = [{ text: `a${delimiter}b` }, 'a\nb', `${delimiter}`, ...Array(100).keys()]
      await expectFrames({ protocol: 'lines', encoding: 'json', delimiter }, values)
    },
  )

  it('may be bytes that are a part of a character', async () => {
    const [a, b] = streamPair({ protocol: 'lines', delimiter: Buffer.from([0xa9]) })
    expect(() => a.send('é')).toThrow(UNENCODABLE)
    expect(() => a.sendAll(['ok', '水é'])).toThrow(expect.objectContaining({ index: 1 }))
    a.sendAll(['水', 'a'])
    expect(await receiveUpTo(b, 2)).toEqual(['水', 'a'])
  })

  it('is the one that the call had, even if its bytes change afterwards', async () => {
    const delimiter = Buffer.from('|')
    const [raw, channel] = rawStreamPair({ protocol: 'lines', delimiter })
    delimiter[0] = 0x2f
    const codec = new Codec('lines', { delimiter })
    channel.send('a/b')
    expect((await receiveUpTo(raw, 1)).map(String)).toEqual(['a/b|'])
    expect(String(codec.encode('a|b'))).toBe('a|b/')
  })
})

describe('the length of length_prefixed', () => {
  const FIELDS = [
    { lengthBytes: 3 },
    { lengthBytes: 4, littleEndian: true },
    { lengthBytes: 8 },
    { lengthBytes: 8, littleEndian: true, lengthAdjustment: -8 },
    { lengthAdjustment: -4 },
    { lengthBytes: 3, littleEndian: true, lengthAdjustment: -3 },
  ]

  it.each(FIELDS)(
    'has the form of the options, for messages that are sent in any way: %o',
    async field => {
      const options = { protocol: 'length_prefixed', ...field }
      await expectFrames(
        options,
        [...bodiesOf('x'), ...bodiesOf('水')].map(text => Buffer.from(text)),
      )
      await expectFrames({ ...options, encoding: 'text' }, [...bodiesOf('x'), ...bodiesOf('水é')])
      await expectFrames({ ...options, encoding: 'json' }, [{ a: ['é'] }, ...Array(1_000).keys()])
    },
  )

  it.each([
    [{ lengthBytes: 1 }, 0, 255],
    [{ lengthBytes: 1, lengthAdjustment: -1 }, 0, 254],
    [{ lengthBytes: 1, littleEndian: true, lengthAdjustment: 100 }, 100, 355],
    [{ lengthBytes: 2 }, 0, 65_535],
    [{ lengthBytes: 2, lengthAdjustment: 300 }, 300, 65_835],
  ])(
    'refuses messages that it cannot express, and nothing is sent: %o',
    async (field, least, most) => {
      const options = { protocol: 'length_prefixed', ...field }
      const refused = [least - 1, most + 1, most + 100_000].filter(length => length >= 0)
      const accepted = [least, least + 1, most - 1, most]
      for (const [encoding, make] of [
        ['buffer', (length: number) => Buffer.alloc(length, 'x')],
        ['buffer', (length: number) => 'x'.repeat(length)],
        ['text', (length: number) => 'é'.repeat(length >> 1) + 'x'.repeat(length & 1)],
        ['json', (length: number) => (length < 2 ? length : 'x'.repeat(length - 2))],
      ] as const) {
        const [a, b] = streamPair({ ...options, encoding })
        for (const length of refused) {
          if (encoding === 'json' && length < 1) continue
          const value = make(length)
          const fits = make(most)
          expect(() => a.send(value), `${length}`).toThrow(UNENCODABLE)
          expect(() => a.send(value, {}), `${length}`).toThrow(UNENCODABLE)
          expect(() => a.sendAll([fits, value]), `${length}`).toThrow(
            expect.objectContaining({ code: 'ERR_FDWIRE_UNENCODABLE', index: 1 }),
          )
        }
        const lengths = accepted.filter(length => encoding !== 'json' || length > 0)
        const values = lengths.map(length => make(length))
        const got = receiveUpTo(b, 2 * values.length)
        for (const value of values) a.send(value)
        a.sendAll(values)
        expectSame((await got).map(String), [...values, ...values].map(String))
      }
    },
  )

  it('is fatal with ERR_FDWIRE_BAD_HEADER if the adjusted size is negative', async () => {
    const options = { protocol: 'length_prefixed', lengthBytes: 2, lengthAdjustment: -2 }
    const [raw, channel] = rawStreamPair(options)
    raw.send(Buffer.from([0, 3, 0x61, 0, 1]))
    await expectFailure(channel, 'a', 'ERR_FDWIRE_BAD_HEADER')
  })

  it('is compared with maxMessage after the adjustment', async () => {
    const options = { protocol: 'length_prefixed', lengthBytes: 1, lengthAdjustment: 5 }
    const [raw, channel] = rawStreamPair({ ...options, maxMessage: 6 })
    raw.send(Buffer.from('\x01abcdef\x02'))
    await expectFailure(channel, 'abcdef', 'ERR_FDWIRE_MESSAGE_TOO_LARGE')
  })
})

describe.each(['content_length', 'netstring', 'varint'])('%s', protocol => {
  it('frames messages that are sent in any way', async () => {
    const texts = [...bodiesOf('x'), ...bodiesOf('é水'), '\r\n:,']
    await expectFrames({ protocol, encoding: 'text' }, texts)
    await expectFrames(
      { protocol },
      texts.map(text => Buffer.from(text)),
    )
    await expectFrames({ protocol, encoding: 'json' }, [{ a: ['é'] }, ...Array(1_000).keys()])
  })

  it('stays within maxQueued, whatever the number of bytes around a small message', async () => {
    for (const value of ['€', '€'.repeat(190)]) {
      const [a] = streamPair({ protocol, encoding: 'text', maxQueued: 3_000 })
      const send = () => {
        for (;;) a.send(value)
      }
      expect(send).toThrow(errorWithCode('ERR_FDWIRE_QUEUE_FULL'))
      expect(a.stats.queuedBytes).toBeLessThanOrEqual(3_000 + 24)
    }
  })
})
