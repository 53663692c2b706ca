import { describe, expect, it } from 'vitest'
import { checkCodecOptions, checkOptions } from '../../lib/options/check.js'
import type { Opener } from '../../lib/options/rules.js'

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
      "listen is for connections, and jsoncomm goes over a datagram socket, which has none: use bind, or type: 'seqpacket'",
    ],
    [
      'listen',
      { ...RAW, type: 'dgram' },
      '/x',
      "listen is for connections, and raw goes over a datagram socket, which has none: use bind, or type: 'stream' or 'seqpacket'",
    ],
    [
      'bind',
      LINES,
      '/x',
      'bind is for datagram sockets, and lines goes over a stream: use listen or connect',
    ],
    [
      'bind',
      RAW,
      '/x',
      "bind is for datagram sockets, and raw goes over a stream: use listen or connect, or type: 'dgram'",
    ],
    [
      'connect',
      JSONCOMM,
      TCP,
      'connect takes { host, port } for streams, and jsoncomm goes over a datagram socket: use a path or an abstract name',
    ],
    [
      'connect',
      { ...RAW, type: 'dgram' },
      TCP,
      "connect takes { host, port } for streams, and raw goes over a datagram socket: use a path or an abstract name, or type: 'stream'",
    ],
    [
      'bind',
      LINES,
      TCP,
      'bind is for datagram sockets, and lines goes over a stream: use listen or connect',
    ],
    [
      'over',
      JSONCOMM,
      undefined,
      "over is for streams, and jsoncomm goes over a datagram socket: 'uds_comms', 'stockings', 'msg_channel', 'length_prefixed', 'lines', 'socket_protocol' or 'raw' would do",
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
    ['pair', 'mode', JSONCOMM, undefined, 'that is one of bind and connect'],
    ['adopt', 'unlink', JSONCOMM, undefined, 'that is one of bind and connect'],
    ['pair', 'mode', LINES, undefined, 'that is one of connect and listen'],
    ['bind', 'localAddress', JSONCOMM, '/x', 'that is one of connect'],
    ['pair', 'timeout', JSONCOMM, undefined, 'that is one of bind and connect'],
    ['over', 'maxOpenFds', LINES, undefined, 'that is one of connect, listen, pair and adopt'],
    ['over', 'type', LINES, undefined, 'that is one of connect, listen, pair and adopt'],
    [
      'Codec',
      'maxQueued',
      LINES,
      undefined,
      'that is one of connect, listen, pair, adopt and over',
    ],
    ['connect', 'onMalformed', LINES, '/x', 'that is one of Codec'],
    ['connect', 'backlog', LINES, '/x', 'that is one of listen'],
    ['connect', 'head', LINES, '/x', 'that is one of adopt'],
    ['pair', 'noDelay', LINES, undefined, 'that is one of connect, listen and adopt'],
    ['connect', 'lenient', LINES, '/x', 'that is one of uds_comms, and this is lines'],
    ['Codec', 'allowEmpty', LINES, undefined, 'that is one of stockings, and this is lines'],
    ['over', 'finalLine', { protocol: 'raw' }, undefined, 'that is one of lines, and this is raw'],
    [
      'pair',
      'encoding',
      { protocol: 'stockings' },
      undefined,
      'each message of stockings says itself what it is',
    ],
    ['connect', 'sendTimeout', LINES, '/x', 'that is for datagrams, and this is a stream'],
    ['over', 'allowRelative', LINES, undefined, 'that is for datagrams, and this is a stream'],
    ['listen', 'credentials', LINES, '/x', 'that is for datagrams, and this is a stream'],
    [
      'pair',
      'credentials',
      { ...JSONCOMM, type: 'seqpacket' },
      undefined,
      'that is for datagrams, and this is a seqpacket socket',
    ],
    ['adopt', 'head', JSONCOMM, 3, 'that is for streams, and this is a datagram socket'],
    ...['noDelay', 'keepAlive', 'allowHalfOpen'].map(
      (name): [Opener, string, object, string, string] => [
        'connect',
        name,
        JSONCOMM,
        '/x',
        'that is for streams, and this is a datagram socket',
      ],
    ),
    ...['backlog', 'maxConnections', 'allowPeer', 'reusePort'].map(
      (name): [Opener, string, object, string, string] => [
        'bind',
        name,
        JSONCOMM,
        '/x',
        'a datagram socket takes no connections',
      ],
    ),
    ...['noDelay', 'keepAlive', 'reusePort'].map(
      (name): [Opener, string, object, string, string] => [
        'listen',
        name,
        LINES,
        '/x',
        'that is for TCP ({ host, port }), and this is a Unix socket',
      ],
    ),
    ...['mode', 'unlink', 'localAddress', 'maxOpenFds', 'maxQueuedFds'].map(
      (name): [Opener, string, object, object, string] => [
        'connect',
        name,
        LINES,
        TCP,
        'that is for Unix sockets, and this is TCP',
      ],
    ),
    ...['mode', 'unlink', 'reusePort'].map((name): [Opener, string, object, object, string] => [
      'listen',
      name,
      LINES,
      FD,
      'the socket that was given has an address already',
    ]),
  ]
  it.each(WRONG)(
    'is rejected with what it applies to: %s with %s, for %o at %o: %s',
    (opener, name, options, address, why) => {
      expect(() => checkOptions(opener, { ...options, [name]: 1 }, address)).toThrow(
        new TypeError(`${opener} has no option ${name}: ${why}`),
      )
    },
  )

  it('is accepted while the kind of a given socket is unknown, and rejected once it is known', () => {
    const options = { ...LINES, noDelay: false, maxOpenFds: 3 }
    expect(checkOptions('adopt', options)).toMatchObject({ noDelay: false })
    expect(checkOptions('listen', options, FD)).toMatchObject({ native: { maxOpenFds: 3 } })
    expect(() => checkOptions('adopt', options, undefined, 'unix')).toThrow(
      'adopt has no option noDelay: that is for TCP',
    )
    expect(() => checkOptions('listen', options, FD, 'tcp')).toThrow(
      'listen has no option maxOpenFds: that is for Unix sockets',
    )
  })
})

describe('maxFds', () => {
  const WRONG: [Opener, unknown, string][] = [
    ['connect', TCP, 'no descriptor travels over TCP'],
    ['listen', TCP, 'no descriptor travels over TCP'],
    ['over', undefined, 'no descriptor travels through a Duplex'],
    ['Codec', undefined, 'a codec has bytes alone'],
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
      native: { maxFds: 4 },
    })
    expect(checkOptions('pair', JSONCOMM).maxFds).toBe(253)
  })
})
