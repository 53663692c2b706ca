/** The end of a connection of fdwire/msg_channel. */
import type { Channel } from 'fdwire/msg_channel'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../../support/channels.js'
import {
  connectedChannels,
  MIB,
  rawClientAndChannel,
  receiveAll,
  startListening,
} from '../../support/msg_channel.js'
import { cleanUpAfterEach, Peer, testPath } from '../../support/processes.js'
import { patternBytes, runCleanupsAfterEach } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

describe('the end of a msg_channel connection', () => {
  it('between two messages makes recv return null and ends iterRecv', async () => {
    const [client, server] = await connectedChannels()
    await client.send('one')
    const closing = client.close()
    expect((await receiveAll(server)).map(String)).toEqual(['one'])
    await closing
    expect([await server.recv(), await server.recv()]).toEqual([null, null])
  })

  it('within a message is an error with the number of missing bytes', async () => {
    const [socket, channel] = await rawClientAndChannel()
    socket.end('\r\nMSG 3\r\none\r\nMSG 10\r\nhalf')
    const received: string[] = []
    const iterate = async () => {
      for await (const value of channel.iterRecv()) received.push(String(value))
    }
    const cut = { code: 'ERR_FDWIRE_CUT_SHORT', missing: 6 }
    await expect(iterate()).rejects.toEqual(expect.objectContaining(cut))
    expect(received).toEqual(['one'])
  })

  it('within a message of a killed peer rejects later calls and raises no uncaught error', async () => {
    const clients = await startListening()
    const peer = new Peer('python3', ['-B', testPath('support/peers/msg_channel.py')])
    await peer.request({ op: 'connect', port: clients.port })
    const channel = (await clients.next()).value as Channel
    track(channel.channel)
    const hex = Buffer.from('\r\nMSG 1\r\na\r\nMSG 100\r\nx').toString('hex')
    await peer.request({ op: 'raw', hex })
    expect(String(await channel.recv())).toBe('a')
    await peer.stop()
    // The channel closes while no call is pending.
    while (!channel.channel.closed) await loopTurns(1)
    await expect(channel.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CUT_SHORT'))
    await expect(channel.send('x')).rejects.toEqual(errorWithCode('ERR_FDWIRE_CUT_SHORT'))
  })

  it('by close() follows the last sent message, and ends a loop over iterRecv', async () => {
    const [client, server] = await connectedChannels()
    const bytes = patternBytes(3 * MIB)
    const sent = client.send(bytes)
    const closing = client.close()
    const received: Buffer[] = []
    for await (const value of server.iterRecv()) {
      received.push(value)
      await server.close()
    }
    await Promise.all([sent, closing])
    expect(received.length === 1 && received[0]?.equals(bytes)).toBe(true)
    await expect(client.send('late')).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    await expect(client.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(await receiveAll(client)).toEqual([])
  })
})
