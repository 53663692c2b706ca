import { bind, type Channel, Codec, type CustomEncoding, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import {
  abstractName,
  rawStreamPair,
  receiveUpTo,
  runCleanupsAfterEach,
  streamPair,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

const PROTOCOLS = [
  'msg_channel',
  'length_prefixed',
  'lines',
  'content_length',
  'netstring',
  'varint',
  'socket_protocol',
] as const

/** Numbers as text: methods that use `this`. */
class Numbers {
  encoded = 0
  decoded = 0
  encode(value: number): string {
    this.encoded++
    if (value < 0) throw new RangeError('negative')
    return `n${value}`
  }
  decode(bytes: Buffer): number {
    this.decoded++
    const text = bytes.toString()
    if (!text.startsWith('n')) throw new SyntaxError(`${text} is no number`)
    return Number(text.slice(1))
  }
}

/** Bytes that are passed on as they are. */
const bytes = {
  encode: (value: Uint8Array) => value,
  decode: (received: Buffer) => received,
}

/** Returns two channels whose values a custom encoding converts. */
function encodedPair(encoding: CustomEncoding<never, never>, options: object = {}) {
  return streamPair({ protocol: 'length_prefixed', ...options, encoding })
}

describe('an encoding of the program', () => {
  it.each(PROTOCOLS)('converts values wherever a protocol carries Buffers: %s', async protocol => {
    const encoding = new Numbers()
    const [a, b] = streamPair({ protocol, encoding })
    const got = receiveUpTo(b, 7)
    a.send(1)
    a.send(2, {})
    a.sendAll([3, 4])
    a.sendAll(new Set([5]))
    await a.flush()
    a.send(6)
    a.send(7)
    expect(await got).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(encoding).toMatchObject({ encoded: 7, decoded: 7 })
    const codec = new Codec(protocol, { encoding })
    expect(codec.push(Buffer.concat([codec.encode(8), codec.encode(9)]))).toEqual([8, 9])
  })

  it.each(['seqpacket', 'dgram'] as const)('converts values over %s sockets', async type => {
    const [a, b] = pair({ protocol: 'raw', type, encoding: new Numbers() })
    track(a as never)
    track(b as never)
    a.sendAll([1, 2])
    a.send(3)
    expect(await receiveUpTo(b as never, 3)).toEqual([1, 2, 3])
  })

  it('converts datagrams of several senders', async () => {
    const options = { protocol: 'raw', type: 'dgram', encoding: new Numbers() } as const
    const [one, two, server] = await Promise.all(
      [abstractName(), abstractName(), abstractName()].map(name => bind(name, options)),
    )
    for (const channel of [one, two, server]) track(channel as never)
    one?.send(1, { to: server?.localAddress as string })
    two?.send(2, { to: server?.localAddress as string })
    const first = await server?.receive()
    const second = await server?.receive()
    expect([first?.value, second?.value].sort()).toEqual([1, 2])
    expect(first?.from).toBe(first?.value === 1 ? one?.localAddress : two?.localAddress)
  })

  it('converts the values of request and reply, and of an iterator', async () => {
    const [a, b] = encodedPair(new Numbers() as never)
    const served = (async () => {
      for await (const { value } of b) b.send((value as number) + 1)
    })()
    expect((await a.request(1)).value).toBe(2)
    a.end()
    await served
  })

  it('may be a class with static methods, or inherit them', async () => {
    class Inherited extends Numbers {}
    const Static = Object.assign(class {}, { encode: String, decode: Number })
    for (const encoding of [new Inherited(), Static, Object.create(bytes)]) {
      const [a, b] = encodedPair(encoding)
      a.send(encoding === Static || encoding instanceof Numbers ? 7 : Buffer.from('7'))
      expect((await receiveUpTo(b, 1)).map(String)).toEqual(['7'])
    }
  })

  it('gets empty messages too', async () => {
    const [a, b] = encodedPair({
      encode: () => '',
      decode: ({ length }: Buffer) => length,
    } as never)
    a.send(null)
    a.sendAll([1, 2])
    expect(await receiveUpTo(b, 3)).toEqual([0, 0, 0])
  })

  it('may return any value from decode, undefined and null among them', async () => {
    const values = [undefined, null, 0, '', Symbol.iterator, () => 1]
    let next = 0
    const [a, b] = encodedPair({ encode: String, decode: () => values[next++] } as never)
    a.sendAll(values.map((_, i) => i))
    expect(await receiveUpTo(b, values.length)).toEqual(values)
  })

  it('gets bytes that stay valid and that no other message shares', async () => {
    for (const size of [1, 100, 5_000, 20_000, 100_000, 300_000]) {
      const [a, b] = encodedPair(bytes as never)
      const count = Math.max(3, Math.min(300, Math.floor(2_000_000 / size)))
      const got = receiveUpTo(b, count)
      for (let i = 0; i < count; i++) a.send(Buffer.alloc(size, i))
      const received = (await got) as Buffer[]
      // Later traffic overwrites the memory of the turn, and values may be changed by their owner.
      for (let i = 0; i < 40; i++) a.send(Buffer.alloc(size, 0xee))
      await receiveUpTo(b, 40)
      received[1]?.fill(0xdd)
      for (const [i, value] of received.entries()) {
        const expected = Buffer.alloc(size, i === 1 ? 0xdd : i)
        expect(value.equals(expected), `${size} bytes, message ${i}`).toBe(true)
      }
    }
  })

  it('may use the memory of its results again, in every way of sending', async () => {
    const memory = Buffer.alloc(200_000)
    const encoding = {
      encode: ({ size, fill }: { size: number; fill: number }) =>
        memory.fill(fill).subarray(0, size),
      decode: (received: Buffer) => ({ size: received.length, fill: received[0] }),
    }
    for (const size of [1, 1_000, 10_000, 150_000]) {
      const [a, b] = encodedPair(encoding as never)
      const values = Array.from({ length: 20 }, (_, i) => ({ size, fill: i + 1 }))
      const got = receiveUpTo(b, 60)
      for (const value of values) a.send(value)
      a.sendAll(values)
      for (const value of values) a.send(value, {})
      expect(await got).toEqual([...values, ...values, ...values])
    }
  })

  it('may return text, which must be well formed, and any view', async () => {
    const [a, b] = streamPair({
      protocol: 'length_prefixed',
      encoding: {
        encode: (value: unknown) => value,
        decode: (received: Buffer) => String(received),
      },
    })
    a.send('naïve 😀')
    a.send(new DataView(Uint8Array.of(0x78, 0x79).buffer))
    expect(() => a.send('a\ud800')).toThrow(errorWithCode('ERR_FDWIRE_ILL_FORMED_TEXT'))
    expect(await receiveUpTo(b, 2)).toEqual(['naïve 😀', 'xy'])
  })
})

describe('an error of encode', () => {
  it('fails the send, and the channel stays usable', async () => {
    const [a, b] = encodedPair(new Numbers() as never)
    const expected = expect.objectContaining({
      code: 'ERR_FDWIRE_UNENCODABLE',
      fault: 'caller',
      message: expect.stringContaining('negative'),
      cause: new RangeError('negative'),
    })
    expect(() => a.send(-1)).toThrow(expected)
    expect(() => a.send(-1, { fds: [] })).toThrow(expected)
    await expect(a.request(-1)).rejects.toThrow(expected)
    expect(() => new Codec('varint', { encoding: new Numbers() }).encode(-1)).toThrow(expected)
    a.send(1)
    expect(await receiveUpTo(b, 1)).toEqual([1])
  })

  it('fails sendAll with the index before any message is sent', async () => {
    const encoding = new Numbers()
    const [a, b] = encodedPair(encoding as never)
    expect(() => a.sendAll([1, 2, -3, 4])).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_UNENCODABLE', index: 2 }),
    )
    expect(encoding.encoded).toBe(3)
    a.send(5)
    expect(await receiveUpTo(b, 1)).toEqual([5])
  })

  it.each([
    ['a promise', () => Promise.resolve('x'), 'must not return a promise'],
    [
      'a promise that rejects',
      async () => Promise.reject(new Error('late')),
      'not return a promise',
    ],
    // biome-ignore lint/suspicious/noThenProperty: it is one on purpose
    ['a thenable', () => ({ then: () => {} }), 'must not return a promise'],
    ['undefined', () => undefined, 'must return a string or a Uint8Array, not undefined'],
    ['a number', () => 1, 'must return a string or a Uint8Array, not 1'],
    ['an ArrayBuffer', () => new ArrayBuffer(1), 'not an instance of ArrayBuffer'],
    ['an array', () => [1], 'not an instance of Array'],
  ])('is a TypeError for %s', async (_, encode, message) => {
    const [a] = encodedPair({ encode, decode: String } as never)
    const expected = expect.objectContaining({ message: expect.stringContaining(message) })
    for (const send of [() => a.send(1), () => a.sendAll([1]), () => a.send(1, {})]) {
      expect(send).toThrow(TypeError)
      expect(send).toThrow(expected)
    }
    // A rejected promise must not become an unhandled rejection, with which Vitest fails.
    await new Promise(setImmediate)
  })

  it('that closes the channel ends the send with ERR_FDWIRE_CLOSED', () => {
    const [a] = encodedPair({ encode: () => [a.destroy(), 'x'][1], decode: String } as never)
    expect(() => a.send(1)).toThrow(errorWithCode('ERR_FDWIRE_CLOSED'))
  })
})

describe('an error of decode', () => {
  const SENT = ['n1', 'bad', 'n2', 'worse', 'n3']

  /** Sends the texts to a channel that decodes numbers. */
  function receiveNumbers(encoding: object = new Numbers()): Channel {
    const options = { protocol: 'lines' } as const
    const [raw, channel] = rawStreamPair({ ...options, encoding })
    raw.send(Buffer.from(SENT.map(text => `${text}\n`).join('')))
    return channel
  }

  it('makes its message malformed, with the cause and a sample, and the others arrive', async () => {
    const encoding = new Numbers()
    const channel = receiveNumbers(encoding)
    const errors: unknown[] = []
    channel.on('malformed', error => errors.push(error))
    expect(await receiveUpTo(channel, 3)).toEqual([1, 2, 3])
    expect(errors).toEqual(
      ['bad', 'worse'].map(text =>
        expect.objectContaining({
          code: 'ERR_FDWIRE_UNDECODABLE',
          fault: 'peer',
          cause: new SyntaxError(`${text} is no number`),
          message: expect.stringContaining(`${text} is no number`),
          sample: Buffer.from(text),
        }),
      ),
    )
    expect(channel.stats.malformed).toBe(2)
    // A decoder may have a state, so each message is decoded once.
    expect(encoding.decoded).toBe(SENT.length)
  })

  it('rejects the request whose reply it was', async () => {
    const [raw, channel] = rawStreamPair({ protocol: 'lines', encoding: new Numbers() })
    const reply = channel.request(1)
    raw.send('bad\n')
    await expect(reply).rejects.toThrow(errorWithCode('ERR_FDWIRE_UNDECODABLE'))
  })

  it('is reported to onMalformed of a Codec', () => {
    const reports: unknown[] = []
    const codec = new Codec('lines', {
      encoding: new Numbers(),
      onMalformed: ({ cause }, before) => reports.push([(cause as Error).message, before]),
    })
    expect(codec.push(Buffer.from('n1\nx\nn2\n'))).toEqual([1, 2])
    expect(reports).toEqual([['x is no number', 1]])
  })

  it.each([
    ['a promise', () => Promise.resolve(1)],
    ['a promise that rejects', async () => Promise.reject(new Error('late'))],
  ])('is a TypeError for %s', async (_, decode) => {
    const channel = receiveNumbers({ encode: String, decode })
    const causes: unknown[] = []
    const all = new Promise<void>(done => {
      channel.on('malformed', ({ cause }) => {
        if (causes.push(cause) === SENT.length) done()
      })
    })
    channel.on('message', () => {})
    await all
    expect(causes.every(cause => cause instanceof TypeError)).toBe(true)
  })

  it.each([null, undefined, 'text', Object.create(null)])(
    'may be any thrown value: %o',
    async thrown => {
      const decode = () => {
        throw thrown
      }
      const [a, b] = encodedPair({ encode: String, decode } as never)
      const malformed = new Promise(done => b.once('malformed', done))
      b.on('message', () => {})
      a.send(1)
      expect(await malformed).toMatchObject({ code: 'ERR_FDWIRE_UNDECODABLE', cause: thrown })
    },
  )

  it('for a large message has the same form', async () => {
    const [raw, channel] = rawStreamPair({ protocol: 'lines', encoding: new Numbers() })
    const malformed = new Promise(done => channel.once('malformed', done))
    channel.on('message', () => {})
    raw.send(Buffer.from(`${'x'.repeat(300_000)}\n`))
    expect(await malformed).toMatchObject({
      code: 'ERR_FDWIRE_UNDECODABLE',
      sample: Buffer.from('x'.repeat(32)),
    })
  })
})

describe('code of the program in decode', () => {
  it('may close or destroy the channel, after which no message is delivered', async () => {
    for (const end of ['destroy', 'close'] as const) {
      const values: unknown[] = []
      const encoding = {
        encode: String,
        decode: (received: Buffer) => {
          if (String(received) === '2') void b[end]()
          return String(received)
        },
      }
      const [a, b] = encodedPair(encoding as never)
      const closed = new Promise<void>(done => b.once('close', () => done()))
      b.on('message', value => values.push(value))
      a.sendAll([1, 2, 3])
      await closed
      expect(values).toEqual([])
    }
  })

  it('may send, and use other channels and codecs', async () => {
    const other = new Codec('lines')
    const decode = (received: Buffer) => {
      b.send(0)
      return other.push(Buffer.concat([received, Buffer.from('\n')]))[0]
    }
    const [a, b] = encodedPair({ encode: String, decode } as never)
    a.sendAll([1, 2, 3])
    expect(await receiveUpTo(b, 3)).toEqual(['1', '2', '3'])
  })

  it('cannot push to the Codec that calls it', () => {
    const causes: unknown[] = []
    const codec: Codec<'lines', CustomEncoding> = new Codec('lines', {
      encoding: { encode: String, decode: (_: Buffer): unknown => codec.push(Buffer.from('x\n')) },
      onMalformed: ({ cause }) => causes.push(cause),
    })
    expect(codec.push(Buffer.from('a\n'))).toEqual([])
    expect(causes).toEqual([new TypeError('decode must not call push of its Codec')])
    expect(codec.end()).toEqual([])
  })
})

describe('the option encoding', () => {
  const NAMED = ['jsoncomm', 'uds_comms'] as const
  it.each(NAMED)('takes only names for %s, which carries no Buffers', protocol => {
    expect(() => pair({ protocol, encoding: bytes as never })).toThrow(/^encoding of \w+ must be '/)
  })

  it('takes no object for stockings, nor for a stream of raw', () => {
    expect(() => pair({ protocol: 'stockings', encoding: bytes as never })).toThrow(
      /^pair has no option encoding/,
    )
    const expected = /^encoding of raw must be 'buffer' on a stream/
    expect(() => pair({ protocol: 'raw', encoding: bytes })).toThrow(expected)
    expect(() => new Codec('raw', { encoding: bytes })).toThrow(expected)
  })

  it.each([{}, { encode: String }, { decode: String }, { encode: 1, decode: String }, [], () => 1])(
    'requires both methods: %o',
    encoding => {
      expect(() => pair({ protocol: 'lines', encoding: encoding as never })).toThrow(
        /^encoding of lines must be 'text', 'json', 'buffer' or an object with methods encode and /,
      )
    },
  )
})
