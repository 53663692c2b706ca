/** fdwire/msg_channel with an independent peer in Python. */
import { createHash } from 'node:crypto'
import { Channel } from 'fdwire/msg_channel'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../../support/channels.js'
import { HOST, receiveAll, SIZES, startListening } from '../../support/msg_channel.js'
import { cleanUpAfterEach, Peer, testPath } from '../../support/processes.js'
import { runCleanupsAfterEach } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

describe('msg_channel and an independent peer', () => {
  const startPeer = () => new Peer('python3', ['-B', testPath('support/peers/msg_channel.py')])
  const message = (size: number) => {
    const bytes = Buffer.alloc(size)
    for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8)) % 251
    return bytes
  }
  const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

  /** Starts the Python peer and connects to it, or accepts its connection. */
  async function connectPeer(role: 'client' | 'server'): Promise<[Peer, Channel]> {
    const peer = startPeer()
    if (role === 'client') {
      const { port } = await peer.request({ op: 'listen' })
      const accepted = peer.request({ op: 'accept' })
      const channel = await Channel.connect(HOST, port)
      track(channel.channel)
      await accepted
      return [peer, channel]
    }
    const clients = await startListening()
    const { name } = await peer.request({ op: 'connect', port: clients.port })
    const { value } = await clients.next()
    const channel = value as Channel
    track(channel.channel)
    expect([channel.ip, channel.port]).toEqual(name)
    return [peer, channel]
  }

  it.each(['client', 'server'] as const)(
    'exchange the same frames, with fdwire as the %s',
    async role => {
      const [peer, channel] = await connectPeer(role)
      for (const size of SIZES) {
        const bytes = message(size)
        const sent = channel.send(bytes)
        expect(await peer.request({ op: 'recv' })).toEqual({
          head: `\r\nMSG ${size}\r\n`,
          kind: 'MSG',
          whole: true,
          size,
          sha: sha(bytes),
        })
        await sent
        for (const cut of size < 1_000 ? [0, 1, 2, 5] : [0, 4_099]) {
          const sending = peer.request({ op: 'send', size, cut })
          const received = (await channel.recv()) as Buffer
          expect([received.length, sha(received)]).toEqual([size, sha(bytes)])
          await sending
        }
      }
      const closing = channel.close()
      expect(await peer.request({ op: 'recv' })).toEqual({ eof: true })
      await peer.request({ op: 'close' })
      await closing
    },
  )

  it('end the iteration when the peer closes', async () => {
    const [peer, channel] = await connectPeer('client')
    await peer.request({ op: 'send', size: 3 })
    await peer.request({ op: 'close' })
    expect((await receiveAll(channel)).map(message => message.length)).toEqual([3])
  })
})
