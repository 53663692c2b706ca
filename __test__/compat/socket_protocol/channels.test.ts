/** ChannelTransport of socket_protocol. */
import { Duplex } from 'node:stream'
import { over, pair } from 'fdwire'
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import { cleanUpAfterEach } from '../../support/processes.js'
import {
  closeAfterTest,
  closeProtocolsAfterEach,
  dataOf,
  registerEcho,
} from '../../support/socket_protocol-sockets.js'

cleanUpAfterEach()
closeProtocolsAfterEach()

const { SID_READ_REQUEST: READ } = sp
const FRAMING = { protocol: 'socket_protocol', encoding: 'buffer' } as const

describe('ChannelTransport', () => {
  it.each(['stream', 'seqpacket', 'dgram'] as const)('runs on a pair over %s', async type => {
    const [a, b] = pair({ ...FRAMING, type })
    const device = closeAfterTest(
      new sp.PureJsonProtocol(new sp.ChannelTransport(a, { isClient: true })),
    )
    const server = registerEcho(closeAfterTest(new sp.PureJsonProtocol(new sp.ChannelTransport(b))))
    expect(dataOf(await device.request(READ, 0, { over: type }))).toEqual({ over: type })
    await server.close()
    if (type === 'stream') await expect.poll(() => device.isConnected()).toBe(false)
    // A datagram socket detects the closed peer only when it sends.
    expect(await device.send(READ, 0, 1, { timeout: 20 })).toBe(false)
    expect([device.isConnected(), await device.reconnect()]).toEqual([false, false])
  })

  it('rejects a message that is too large for a datagram and remains usable', async () => {
    const [a, b] = pair({ ...FRAMING, type: 'dgram' })
    const device = closeAfterTest(
      new sp.PureJsonProtocol(new sp.ChannelTransport(a, { isClient: true })),
    )
    const server = closeAfterTest(new sp.PureJsonProtocol(new sp.ChannelTransport(b)))
    server.registerCallback(READ, 0, () => [0, 'x'.repeat(400_000)])
    server.registerCallback(READ, 1, message => [0, message.getData()])
    await expect(device.request(READ, 1, 'x'.repeat(400_000))).rejects.toHaveProperty(
      'code',
      'EMSGSIZE',
    )
    expect((await device.request(READ, 0)).getStatus()).toBe(sp.STATUS_CALLBACK_ERROR)
    expect(dataOf(await device.request(READ, 1, 'small'))).toBe('small')
  })

  it('runs on a channel over any Duplex', async () => {
    const [left, right] = duplexPair()
    const device = closeAfterTest(
      new sp.StructJsonProtocol(new sp.ChannelTransport(over(left, FRAMING), { isClient: true })),
    )
    registerEcho(
      closeAfterTest(new sp.StructJsonProtocol(new sp.ChannelTransport(over(right, FRAMING)))),
    )
    expect(dataOf(await device.request(READ, 0, 'message'))).toBe('message')
  })

  it('throws for a channel of another protocol or encoding', async () => {
    const [a, b] = pair({ protocol: 'socket_protocol' })
    const [c, d] = pair({ protocol: 'raw', type: 'dgram' })
    for (const channel of [a, c])
      expect(() => new sp.ChannelTransport(channel as never)).toThrow(TypeError)
    await Promise.all([a, b, c, d].map(channel => channel.close()))
  })
})

/** Returns two connected Duplex streams. */
function duplexPair(): [Duplex, Duplex] {
  const ends: Duplex[] = []
  const make = (other: () => Duplex) =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        other().push(chunk)
        done()
      },
      final(done) {
        other().push(null)
        done()
      },
    })
  ends.push(
    make(() => ends[1] as Duplex),
    make(() => ends[0] as Duplex),
  )
  return ends as [Duplex, Duplex]
}
