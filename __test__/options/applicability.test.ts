import { describe, expect, it } from 'vitest'
import { checkCodecOptions, checkOptions } from '../../lib/options/check.js'
import type { Opener } from '../../lib/options/option.js'

const JSONCOMM = { protocol: 'jsoncomm' } as const
const LINES = { protocol: 'lines' } as const
const TCP = { host: 'localhost', port: 0 }

describe('the type of socket', () => {
  const RAW = { protocol: 'raw' }
  const WRONG: [Opener, object, unknown, string][] = [
    [
      'listen',
      JSONCOMM,
      '/x',
      "listen needs connections, and jsoncomm uses a datagram socket: use bind, or type: 'seqpacket'",
    ],
    [
      'listen',
      { ...RAW, type: 'dgram' },
      '/x',
      "listen needs connections, and raw uses a datagram socket: use bind, or type: 'stream' or 'seqpacket'",
    ],
    [
      'bind',
      LINES,
      '/x',
      'bind needs a datagram socket, and lines uses a stream socket: use listen or connect',
    ],
    [
      'bind',
      RAW,
      '/x',
      "bind needs a datagram socket, and raw uses a stream socket: use listen or connect, or type: 'dgram'",
    ],
    [
      'connect',
      JSONCOMM,
      TCP,
      'connect takes { host, port } for streams, and jsoncomm uses a datagram socket: use a path or an abstract name',
    ],
    [
      'connect',
      { ...RAW, type: 'dgram' },
      TCP,
      "connect takes { host, port } for streams, and raw uses a datagram socket: use a path or an abstract name, or type: 'stream'",
    ],
    [
      'bind',
      LINES,
      TCP,
      'bind needs a datagram socket, and lines uses a stream socket: use listen or connect',
    ],
    [
      'over',
      JSONCOMM,
      undefined,
      "over needs a stream, and jsoncomm uses a datagram socket: use protocol 'uds_comms', 'stockings', 'msg_channel', 'length_prefixed', 'lines', 'content_length', 'netstring', 'varint', 'socket_protocol' or 'raw'",
    ],
  ]
  it.each(WRONG)(
    'is rejected with the alternatives if the function does not support it: %s with %o at %o',
    (opener, options, address, message) => {
      expect(() => checkOptions(opener, options, address)).toThrow(new TypeError(message))
    },
  )

  it("is 'stream' for raw in over and Codec", () => {
    expect(checkOptions('over', RAW).type).toBe('stream')
    expect(checkCodecOptions('raw', {}).type).toBe('stream')
  })
})

describe('an option that does not apply', () => {
  const FD = { fd: 3 }
  const WRONG: [Opener, string, object, unknown, string][] = [
    ['pair', 'mode', JSONCOMM, undefined, 'it is an option of bind and connect'],
    ['adopt', 'unlink', JSONCOMM, undefined, 'it is an option of bind and connect'],
    ['pair', 'mode', LINES, undefined, 'it is an option of connect and listen'],
    ['bind', 'localAddress', JSONCOMM, '/x', 'it is an option of connect'],
    ['pair', 'timeout', JSONCOMM, undefined, 'it is an option of bind and connect'],
    ['over', 'maxOpenFds', LINES, undefined, 'it is an option of connect, listen, pair and adopt'],
    ['over', 'type', LINES, undefined, 'it is an option of connect, listen, pair and adopt'],
    ['over', 'busyPoll', LINES, undefined, 'it is an option of connect, listen, pair and adopt'],
    ['Codec', 'busyPoll', LINES, undefined, 'it is an option of connect, listen, pair and adopt'],
    [
      'Codec',
      'maxQueued',
      LINES,
      undefined,
      'it is an option of connect, listen, pair, adopt and over',
    ],
    ['bind', 'mode', JSONCOMM, FD, 'the socket that is passed in has its address already'],
    ['bind', 'unlink', JSONCOMM, FD, 'the socket that is passed in has its address already'],
    ['connect', 'onMalformed', LINES, '/x', 'it is an option of Codec'],
    ['connect', 'backlog', LINES, '/x', 'it is an option of listen'],
    ['connect', 'head', LINES, '/x', 'it is an option of adopt'],
    ['pair', 'noDelay', LINES, undefined, 'it is an option of connect, listen and adopt'],
    ['connect', 'lenient', LINES, '/x', 'only uds_comms has it, and this is lines'],
    ['Codec', 'allowEmpty', LINES, undefined, 'only stockings has it, and this is lines'],
    ['over', 'finalLine', { protocol: 'raw' }, undefined, 'only lines has it, and this is raw'],
    [
      'pair',
      'encoding',
      { protocol: 'stockings' },
      undefined,
      'each message of stockings says whether it is text or bytes',
    ],
    [
      'connect',
      'sendTimeout',
      LINES,
      '/x',
      'it is for datagram sockets, and this is a stream socket',
    ],
    [
      'over',
      'allowRelative',
      LINES,
      undefined,
      'it is for datagram sockets, and this is a stream socket',
    ],
    [
      'listen',
      'credentials',
      LINES,
      '/x',
      'it is for datagram sockets, and this is a stream socket',
    ],
    [
      'pair',
      'credentials',
      { ...JSONCOMM, type: 'seqpacket' },
      undefined,
      'it is for datagram sockets, and this is a seqpacket socket',
    ],
    ['adopt', 'head', JSONCOMM, 3, 'it is for stream sockets, and this is a datagram socket'],
    ...['noDelay', 'keepAlive', 'allowHalfOpen'].map(
      (name): [Opener, string, object, string, string] => [
        'connect',
        name,
        JSONCOMM,
        '/x',
        'it is for stream sockets, and this is a datagram socket',
      ],
    ),
    ...['backlog', 'maxConnections', 'allowPeer', 'reusePort'].map(
      (name): [Opener, string, object, string, string] => [
        'bind',
        name,
        JSONCOMM,
        '/x',
        'a datagram socket accepts no connections',
      ],
    ),
    ...['noDelay', 'keepAlive', 'reusePort'].map(
      (name): [Opener, string, object, string, string] => [
        'listen',
        name,
        LINES,
        '/x',
        'it is for TCP ({ host, port }), and this is a Unix socket',
      ],
    ),
    ...['mode', 'unlink', 'localAddress', 'maxOpenFds', 'maxQueuedFds'].map(
      (name): [Opener, string, object, object, string] => [
        'connect',
        name,
        LINES,
        TCP,
        'it is for Unix sockets, and this is TCP',
      ],
    ),
    ...['mode', 'unlink', 'reusePort'].map((name): [Opener, string, object, object, string] => [
      'listen',
      name,
      LINES,
      FD,
      'the socket that is passed in has its address already',
    ]),
  ]
  it.each(WRONG)(
    'is rejected with the reason: %s with %s, for %o at %o: %s',
    (opener, name, options, address, why) => {
      expect(() => checkOptions(opener, { ...options, [name]: 1 }, address)).toThrow(
        new TypeError(`${opener} has no option ${name}: ${why}`),
      )
    },
  )

  it('is accepted while the kind of a given socket is unknown, and rejected once it is known', () => {
    const options = { ...LINES, noDelay: false, maxOpenFds: 3 }
    expect(checkOptions('adopt', options)).toMatchObject({ noDelay: false })
    expect(checkOptions('listen', options, FD)).toMatchObject({ maxOpenFds: 3 })
    expect(() => checkOptions('adopt', options, undefined, 'unix')).toThrow(
      'adopt has no option noDelay: it is for TCP',
    )
    expect(() => checkOptions('listen', options, FD, 'tcp')).toThrow(
      'listen has no option maxOpenFds: it is for Unix sockets',
    )
  })
})

describe('maxFds', () => {
  const WRONG: [Opener, unknown, string][] = [
    ['connect', TCP, 'TCP carries no descriptors'],
    ['listen', TCP, 'TCP carries no descriptors'],
    ['over', undefined, 'a Duplex stream carries no descriptors'],
    ['Codec', undefined, 'a codec handles bytes alone'],
  ]
  it.each(WRONG)('must be 0 where descriptors cannot be sent: %s at %o', (opener, address, why) => {
    expect(checkOptions(opener, { ...LINES, maxFds: 0 }, address).maxFds).toBe(0)
    expect(() => checkOptions(opener, { ...LINES, maxFds: 1 }, address)).toThrow(
      new TypeError(`maxFds must be 0 here, not 1: ${why}`),
    )
  })

  it('defaults to 253 for jsoncomm and to 0 for lines, where it can be set', () => {
    expect(checkOptions('pair', LINES).maxFds).toBe(0)
    expect(checkOptions('pair', { ...LINES, maxFds: 4 })).toMatchObject({
      maxFds: 4,
    })
    expect(checkOptions('pair', JSONCOMM).maxFds).toBe(253)
  })
})
