import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { adopt, bind, type Channel, connect, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { checkOptions } from '../../lib/options/check.js'
import { destroyChannelsAfterEach, RAW_DGRAM, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import {
  abstractName,
  connectedPair,
  LINES,
  RAW_STREAM,
  runCleanupsAfterEach,
  startListener,
  tcpPair,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const SIZE = 30_000
/** The kernel reports twice the size that was set. */
const SET = 2 * SIZE
const SEQPACKET = { protocol: 'raw', type: 'seqpacket' } as const
const SEND = { sendBufferSize: SIZE }
const BOTH = { ...SEND, recvBufferSize: SIZE }

/** Returns the sizes of the send and receive buffers of sockets, which another process reads. */
function sizesOf(fds: number[]): [send: number, receive: number][] {
  const script =
    'import json, socket as s, sys; all = [s.socket(fileno=3 + i) for i in range(int(sys.argv[1]))];' +
    'print(json.dumps([[x.getsockopt(s.SOL_SOCKET, o) for o in (s.SO_SNDBUF, s.SO_RCVBUF)] for x in all]))'
  const output = execFileSync('python3', ['-c', script, String(fds.length)], {
    stdio: ['ignore', 'pipe', 'inherit', ...fds],
  })
  return JSON.parse(output.toString())
}

const fdOf = ({ fd }: { fd: number }) => fd

/** Sockets of every kind with the option, and those of the same kind without it. */
const UNIX: [string, (options: object) => Promise<Channel[]>][] = [
  [
    'connected streams',
    async more => [...(await connectedPair(abstractName(), { ...LINES, ...more }))],
  ],
  [
    'connected seqpacket sockets',
    async more => [...(await connectedPair(abstractName(), { ...SEQPACKET, ...more }))],
  ],
  [
    'bound and connected datagram sockets',
    async more => {
      const bound = await bind(join(temporaryDirectory(), 's'), { ...RAW_DGRAM, ...more })
      const to = bound.localAddress as string
      return [bound, await connect(to, { ...RAW_DGRAM, ...more })] as Channel[]
    },
  ],
  [
    'pairs',
    async more =>
      [LINES, SEQPACKET, RAW_DGRAM].flatMap(
        kind => pair({ ...kind, ...more } as never) as Channel[],
      ),
  ],
  [
    'adopted sockets',
    async more =>
      [LINES, SEQPACKET, RAW_DGRAM].flatMap(kind => {
        const { type = 'stream' } = kind as { type?: 'stream' }
        const ends = pair({ protocol: 'raw', type })
        return ends.map(end => adopt(end.detach(), { ...kind, ...more } as never) as Channel)
      }),
  ],
]

describe('sendBufferSize', () => {
  it.each(UNIX)('is the size of the send buffer of %s, which detach restores', async (_, open) => {
    const plain = (await open({})).map(channel => track(channel))
    const sized = (await open(SEND)).map(channel => track(channel))
    const [[, receive] = []] = sizesOf(plain.map(fdOf))
    expect(sizesOf(sized.map(fdOf))).toEqual(sized.map(() => [SET, receive]))
    // A pair, because an unconnected datagram socket enlarges its buffer by itself.
    const [[byDefault] = []] = sizesOf(pair(LINES).map(track).map(fdOf))
    const types = sized.map(({ type }) => type)
    const fds = sized.map(channel => channel.detach())
    expect(sizesOf(fds)).toEqual(fds.map(() => [byDefault, receive]))
    for (const [at, fd] of fds.entries()) {
      track(adopt(fd, { protocol: 'raw', type: types[at] } as never) as Channel)
    }
  })

  it('stays the size of a stream whose buffer has been full', async () => {
    const [a, b] = pair({ ...RAW_STREAM, ...SEND }).map(track) as [Channel<Buffer>, Channel]
    while (a.send(Buffer.alloc(10_000)));
    expect(sizesOf([a.fd])[0]?.[0]).toBe(SET)
    b.destroy()
  })

  it('limits the size of a datagram', async () => {
    const [a] = pair({ ...RAW_DGRAM, ...SEND }).map(track) as [Channel<Buffer>]
    expect(() => a.send(Buffer.alloc(SET))).toThrow(expect.objectContaining({ code: 'EMSGSIZE' }))
    expect(a.send(Buffer.alloc(SIZE))).toBe(true)
  })
})

describe('sendBufferSize and recvBufferSize', () => {
  it('are the sizes of TCP sockets that connect and that are accepted', async () => {
    const channels = await tcpPair({ ...LINES, ...BOTH })
    expect(sizesOf(channels.map(fdOf))).toEqual([
      [SET, SET],
      [SET, SET],
    ])
  })

  it('are set on the listening socket, from which TCP derives the window that it offers', async () => {
    const listener = await startListener({ host: '127.0.0.1', port: 0 }, { ...LINES, ...BOTH })
    expect(sizesOf([listener.fd])).toEqual([[SET, SET]])
  })

  it('are restored by detach', async () => {
    const plain = await tcpPair(RAW_STREAM)
    const before = sizesOf(plain.map(fdOf))
    const sized = plain.map(channel => track(adopt(channel.detach(), { ...RAW_STREAM, ...BOTH })))
    expect(sizesOf(sized.map(fdOf))).toEqual([
      [SET, SET],
      [SET, SET],
    ])
    const fds = sized.map(channel => channel.detach())
    expect(sizesOf(fds)).toEqual(before)
    for (const fd of fds) track(adopt(fd, RAW_STREAM))
  })

  it.each(['sendBufferSize', 'recvBufferSize'])('%s is an integer from 1', name => {
    const at = { host: 'localhost', port: 1 }
    for (const wrong of [0, -1, 0.5, Number.NaN, 2 ** 31]) {
      expect(() => checkOptions('connect', { ...LINES, [name]: wrong }, at)).toThrow(RangeError)
    }
    expect(() => checkOptions('connect', { ...LINES, [name]: '1' }, at)).toThrow(TypeError)
  })

  it('are refused where they have no effect', () => {
    for (const opener of ['over', 'Codec'] as const) {
      expect(() => checkOptions(opener, { ...LINES, ...SEND })).toThrow(
        `${opener} has no option sendBufferSize: it is an option of connect, listen, pair and adopt`,
      )
    }
    const unix = 'it is for TCP ({ host, port }), and this is a Unix socket'
    for (const opener of ['connect', 'listen'] as const) {
      expect(() => checkOptions(opener, { ...LINES, recvBufferSize: 1 }, '/x')).toThrow(unix)
    }
    expect(() => checkOptions('adopt', { ...LINES, recvBufferSize: 1 }, undefined, 'unix')).toThrow(
      unix,
    )
    expect(() => checkOptions('bind', { ...RAW_DGRAM, recvBufferSize: 1 }, '/x')).toThrow(
      'it is for stream sockets, and this is a datagram socket',
    )
  })
})
