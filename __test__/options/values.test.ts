import { describe, expect, it } from 'vitest'
import { checkCodecOptions, checkOptions } from '../../lib/options/check.js'
import { OPENERS, type Opener } from '../../lib/options/option.js'

const JSONCOMM = { protocol: 'jsoncomm' } as const
const LINES = { protocol: 'lines' } as const
const TCP = { host: 'localhost', port: 0 }

/** Returns the error with which a function rejects options. */
function errorOf(opener: Opener, options: unknown, address?: unknown): Error {
  try {
    checkOptions(opener, options, address)
  } catch (error) {
    return error as Error
  }
  throw new Error('The options were accepted')
}

/** Options that each function accepts. */
const VALID: Record<Opener, object> = {
  bind: JSONCOMM,
  connect: JSONCOMM,
  listen: LINES,
  pair: JSONCOMM,
  adopt: JSONCOMM,
  over: LINES,
  Codec: LINES,
}
const NUMBERS = ['maxMessage', 'maxFds', 'maxOpenFds', 'highWaterMark', 'maxQueued', 'maxQueuedFds']

describe.each(OPENERS)('%s', opener => {
  const valid = VALID[opener]

  it.each([undefined, null, 'jsoncomm', 3])('requires options with a protocol, not %o', options => {
    const error = errorOf(opener, options)
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toMatch(
      new RegExp(`^${opener} needs options with a protocol, one of 'jsoncomm', .*, 'raw', not `),
    )
  })

  it.each([undefined, null, 'nonsense', 'toString', '__proto__', 7])(
    'requires a known protocol, not %o',
    protocol => {
      const error = errorOf(opener, { protocol })
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(/^protocol must be 'jsoncomm', '.*' or 'raw', not /)
    },
  )

  it.each(['maxMesage', 'constructor', 'hasOwnProperty', 'toString'])(
    'rejects the unknown option %s and lists the known ones',
    option => {
      const error = errorOf(opener, { ...valid, [option]: 3 })
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(
        new RegExp(`^${opener} has no option ${option}: it has protocol, .*maxMessage, `),
      )
    },
  )

  it('rejects an unknown option that is inherited', () => {
    const { message } = errorOf(opener, Object.assign(Object.create({ nonsense: 1 }), valid))
    expect(message).toContain(`${opener} has no option nonsense`)
  })

  it('treats an undefined option as absent', () => {
    const names = [...NUMBERS, 'type', 'encoding', 'mode', 'backlog', 'head', 'lenient', 'nonsense']
    const none = Object.fromEntries(names.map(name => [name, undefined]))
    expect(checkOptions(opener, { ...none, ...valid })).toEqual(checkOptions(opener, valid))
  })
})

describe('a numeric option', () => {
  const OPTIONS: [string, Opener, object, unknown?][] = [
    ...NUMBERS.map((name): [string, Opener, object] => [name, 'pair', JSONCOMM]),
    ['sendTimeout', 'bind', JSONCOMM],
    ['replyTimeout', 'over', LINES],
    ...(['bind', 'connect', 'listen', 'pair', 'adopt'] as const).map(
      (opener): [string, Opener, object] => ['busyPoll', opener, VALID[opener]],
    ),
    ['timeout', 'connect', LINES],
    ['mode', 'listen', LINES],
    ['backlog', 'listen', LINES],
    ['maxConnections', 'listen', LINES],
  ]
  it.each(OPTIONS)('must be an integer within its range: %s', (name, opener, options) => {
    for (const wrong of ['1', null, true, {}, [], 1n, () => 1, Symbol('x')]) {
      const error = errorOf(opener, { ...options, [name]: wrong })
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(new RegExp(`^${name} must be a number, not \\S`))
    }
    for (const wrong of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
      const error = errorOf(opener, { ...options, [name]: wrong })
      expect(error).toBeInstanceOf(RangeError)
      expect(error.message).toMatch(
        new RegExp(`^${name} must be an integer from \\d+ to \\d+, not ${wrong}$`),
      )
    }
  })

  it("has the kernel's limits, and accepts 0 where that has a meaning", () => {
    expect(checkOptions('pair', { ...JSONCOMM, maxFds: 253 }).maxFds).toBe(253)
    expect(errorOf('pair', { ...JSONCOMM, maxFds: 254 }).message).toContain('0 to 253')
    expect(errorOf('listen', { ...LINES, mode: 0o1000 })).toBeInstanceOf(RangeError)
    expect(checkOptions('pair', { ...LINES, busyPoll: 1_000 }).busyPoll).toBe(1_000)
    expect(errorOf('pair', { ...LINES, busyPoll: 1_001 })).toEqual(
      new RangeError('busyPoll must be an integer from 0 to 1000, not 1001'),
    )
    for (const name of ['maxMessage', 'maxOpenFds', 'backlog', 'maxConnections']) {
      expect(errorOf('listen', { ...LINES, [name]: 0 })).toBeInstanceOf(RangeError)
    }
    expect(checkOptions('connect', { ...LINES, timeout: 0 }).timeout).toBe(0)
    expect(checkOptions('bind', { ...JSONCOMM, sendTimeout: 0 }).sendTimeout).toBe(0)
  })
})

describe('the value of an option', () => {
  const FLAGS: [string, Opener, object, unknown?][] = [
    ['allowRelative', 'bind', JSONCOMM],
    ['credentials', 'adopt', JSONCOMM],
    ['allowHalfOpen', 'over', LINES],
    ['captureRejections', 'listen', LINES],
    ['noDelay', 'connect', LINES, TCP],
    ['reusePort', 'listen', LINES, TCP],
    ['lenient', 'pair', { protocol: 'uds_comms' }],
    ['allowEmpty', 'Codec', { protocol: 'stockings' }],
    ['finalLine', 'adopt', LINES],
    ['littleEndian', 'over', { protocol: 'length_prefixed' }],
  ]
  it.each(FLAGS)('must be true or false for %s', (name, opener, options, address) => {
    for (const wrong of [1, null, 'yes']) {
      const error = errorOf(opener, { ...options, [name]: wrong }, address)
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(new RegExp(`^${name} must be true or false, not `))
    }
    for (const right of [true, false]) checkOptions(opener, { ...options, [name]: right }, address)
  })

  const WRONG: [Opener, object, string][] = [
    [
      'pair',
      { ...JSONCOMM, type: 'stream' },
      "type of jsoncomm must be 'dgram' or 'seqpacket', not 'stream'",
    ],
    [
      'pair',
      { ...JSONCOMM, type: null },
      "type of jsoncomm must be 'dgram' or 'seqpacket', not null",
    ],
    [
      'pair',
      { protocol: 'raw', type: 'tcp' },
      "type of raw must be 'stream', 'seqpacket' or 'dgram', not 'tcp'",
    ],
    [
      'pair',
      { ...JSONCOMM, encoding: 'buffer' },
      "encoding of jsoncomm must be 'json', not 'buffer'",
    ],
    ['pair', { ...JSONCOMM, encoding: null }, "encoding of jsoncomm must be 'json', not null"],
    [
      'over',
      { ...LINES, encoding: 'utf8' },
      "encoding of lines must be 'text', 'json' or 'buffer', not 'utf8'",
    ],
    ['listen', { ...LINES, unlink: true }, "unlink must be 'stale', 'always' or false, not true"],
    ['listen', { ...LINES, unlink: null }, "unlink must be 'stale', 'always' or false, not null"],
    ['connect', { ...LINES, signal: {} }, 'signal must be an AbortSignal, not an object'],
    ['connect', { ...LINES, signal: null }, 'signal must be an AbortSignal, not null'],
    ['listen', { ...LINES, allowPeer: true }, 'allowPeer must be a function, not true'],
    ['Codec', { ...LINES, onMalformed: null }, 'onMalformed must be a function, not null'],
    ['adopt', { ...LINES, keepAlive: '1' }, "keepAlive must be true, false or a number, not '1'"],
    [
      'adopt',
      { ...LINES, head: 'text' },
      "head must be a Buffer or another ArrayBufferView, not 'text'",
    ],
  ]
  it.each(WRONG)(
    'is rejected with the accepted values: %s with %o: %s',
    (opener, options, message) => {
      expect(errorOf(opener, options)).toEqual(new TypeError(message))
    },
  )

  it('is rounded up to whole seconds for keepAlive', () => {
    const checked = (keepAlive: unknown) =>
      checkOptions('connect', { ...LINES, keepAlive }, TCP).keepAlive
    expect([false, true, 1, 1_000, 1_001, 32_767_000].map(checked)).toEqual([
      false,
      0,
      1,
      1,
      2,
      32_767,
    ])
    for (const wrong of [0, -1, 1.5, 32_767_001, Number.NaN]) {
      const error = errorOf('connect', { ...LINES, keepAlive: wrong }, TCP)
      expect(error).toEqual(
        new RangeError(`keepAlive must be an integer from 1 to 32767000, not ${wrong}`),
      )
    }
  })

  it('has 1 to 16 bytes for delimiter, and is a copy', () => {
    const check = (delimiter: unknown) => checkOptions('over', { ...LINES, delimiter }).delimiter
    expect(check('\0')).toBe('\0')
    expect(check('€'.repeat(5))).toBe('€'.repeat(5))
    const bytes = Buffer.from('xab')
    const checked = check(new DataView(bytes.buffer, bytes.byteOffset + 1, 2))
    expect(checked).toEqual(Buffer.from('ab'))
    const view = Buffer.from('ab')
    check(view)
    view[0] = 0x78
    expect(check(view)).toEqual(Buffer.from('xb'))
    for (const [wrong, length] of [
      ['', 0],
      ['€'.repeat(6), 18],
      [Buffer.alloc(17), 17],
      [new Uint8Array(0), 0],
    ]) {
      expect(() => check(wrong)).toThrow(
        new RangeError(`delimiter must have 1 to 16 bytes, not ${length}`),
      )
    }
    for (const wrong of [null, 10, {}, ['\n'], new ArrayBuffer(1)]) {
      expect(() => check(wrong)).toThrow(TypeError)
    }
    expect(() => check('a\ud800')).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_ILL_FORMED_TEXT' }),
    )
  })

  it('is one of the sizes for lengthBytes, and an integer for lengthAdjustment', () => {
    const check = (options: object) =>
      checkOptions('pair', { protocol: 'length_prefixed', ...options })
    for (const right of [1, 2, 3, 4, 8])
      expect(check({ lengthBytes: right }).lengthBytes).toBe(right)
    for (const wrong of [0, 5, 6, 7, 16, -1, 1.5, Number.NaN]) {
      expect(() => check({ lengthBytes: wrong })).toThrow(
        new RangeError(`lengthBytes must be 1, 2, 3, 4 or 8, not ${wrong}`),
      )
    }
    for (const wrong of ['4', null, true, 4n]) {
      expect(() => check({ lengthBytes: wrong })).toThrow(TypeError)
      expect(() => check({ lengthAdjustment: wrong })).toThrow(TypeError)
    }
    for (const right of [-4, 0, 5, Number.MIN_SAFE_INTEGER]) {
      expect(check({ lengthAdjustment: right }).lengthAdjustment).toBe(right)
    }
    for (const wrong of [0.5, Number.NaN, 2 ** 53]) {
      expect(() => check({ lengthAdjustment: wrong })).toThrow(RangeError)
    }
  })

  it('may be any view of bytes for head', () => {
    const bytes = Buffer.from('xxhead')
    const view = new DataView(bytes.buffer, bytes.byteOffset + 2, 4)
    const { head } = checkOptions('adopt', { ...LINES, head: view })
    expect(Buffer.from(head as Uint8Array).toString()).toBe('head')
  })
})

describe('a protocol', () => {
  it('has text payloads if its encoding is text or json', () => {
    const text = (options: object) => checkOptions('pair', options).text
    expect(text(LINES)).toBe(true)
    expect(text({ ...LINES, encoding: 'json' })).toBe(true)
    expect(text({ ...LINES, encoding: 'buffer' })).toBe(false)
    expect(text({ protocol: 'stockings' })).toBe(false)
    expect(text(JSONCOMM)).toBe(true)
  })

  it('determines whether an empty message is sent, skipped or refused', () => {
    const empty = (options: object) => checkOptions('pair', options).empty
    expect(empty(LINES)).toBe('sent')
    expect(empty({ protocol: 'uds_comms' })).toBe('refused')
    expect(checkCodecOptions('uds_comms', {}).empty).toBe('sent')
    expect(empty({ protocol: 'stockings' })).toBe('skipped')
    expect(empty({ protocol: 'stockings', allowEmpty: true })).toBe('sent')
    expect(empty({ protocol: 'raw' })).toBe('skipped')
    expect(empty({ protocol: 'raw', type: 'dgram' })).toBe('sent')
  })

  it('has no send timeout on a stream', () => {
    expect(checkOptions('pair', LINES).sendTimeout).toBe(0)
    expect(checkOptions('pair', JSONCOMM).sendTimeout).toBe(30_000)
  })

  it('is the first argument of a codec, not an option', () => {
    expect(checkCodecOptions('lines', { finalLine: true })).toMatchObject({
      protocol: 'lines',
      encoding: 'text',
      finalLine: true,
    })
    expect(() => checkCodecOptions('lines', LINES)).toThrow(/^Codec has no option protocol: /)
    expect(() => checkCodecOptions('nonsense', {})).toThrow(/^protocol must be /)
    expect(() => checkCodecOptions('lines', null as never)).toThrow(/^Codec takes its options as/)
    expect(() => checkCodecOptions('lines', Object.create({ nonsense: 1 }))).toThrow(
      /^Codec has no option nonsense: it has protocol, encoding, finalLine, delimiter, maxMessage, /,
    )
  })
})
