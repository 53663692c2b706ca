/** Messages of fdwire/msg_channel and invalid frames. */
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode } from '../../support/channels.js'
import { connectedChannels, rawClientAndChannel, SIZES } from '../../support/msg_channel.js'
import { patternBytes, runCleanupsAfterEach } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

describe('a msg_channel message', () => {
  it.each(SIZES)('of %i bytes arrives whole in both directions', async size => {
    const [client, server] = await connectedChannels()
    const bytes = patternBytes(size)
    await Promise.all([client.send(bytes), server.send(bytes)])
    expect((await server.recv())?.equals(bytes)).toBe(true)
    expect((await client.recv())?.equals(bytes)).toBe(true)
  })

  it('may be a string or an ArrayBufferView, and arrives as a Buffer', async () => {
    const [client, server] = await connectedChannels()
    await client.send('naïve 😀')
    await client.send(new Uint16Array([0x4241, 0x4443]))
    expect([String(await server.recv()), String(await server.recv())]).toEqual(['naïve 😀', 'ABCD'])
    for (const wrong of [5, null, undefined, {}]) {
      await expect(client.send(wrong as never)).rejects.toThrow(TypeError)
    }
    await client.send('after')
    expect(String(await server.recv())).toBe('after')
  })

  it('that contains a frame header is one message', async () => {
    const [socket, channel] = await rawClientAndChannel()
    await channel.send('\r\nMSG 1\r\nx')
    const [wire] = await once(socket, 'data')
    expect(String(wire)).toBe('\r\nMSG 10\r\n\r\nMSG 1\r\nx')
    socket.write(wire)
    expect(String(await channel.recv())).toBe('\r\nMSG 1\r\nx')
  })

  it('arrives whole when its frame arrives byte by byte', async () => {
    const [socket, channel] = await rawClientAndChannel()
    socket.setNoDelay()
    const received = Promise.all([channel.recv(), channel.recv(), channel.recv()])
    for (const byte of Buffer.from('\r\nMSG 2\r\nhi\r\nMSG 0\r\n\r\nMSG 3\r\nend')) {
      await new Promise(resolve => socket.write(Buffer.from([byte]), resolve))
    }
    expect((await received).map(String)).toEqual(['hi', '', 'end'])
  })

  it('keeps its place among concurrent sends of different sizes', async () => {
    const [client, server] = await connectedChannels()
    const values = Array.from({ length: 300 }, (_, i) => `${i} ${'x'.repeat((i % 7) * 20_000)}`)
    const sent = Promise.all(values.map(value => client.send(value)))
    for (const value of values) {
      const received = String(await server.recv())
      if (received !== value) expect(received.slice(0, 20)).toBe(value.slice(0, 20))
    }
    await sent
  })

  it('resolves pending recv calls in the order of the calls', async () => {
    const [client, server] = await connectedChannels()
    const received = Promise.all(Array.from({ length: 5 }, () => server.recv()))
    for (let i = 0; i < 5; i++) await client.send(`${i}`)
    expect((await received).map(String)).toEqual(['0', '1', '2', '3', '4'])
  })

  it('is awaited by recv up to its timeout or until its signal', async () => {
    const [, server] = await connectedChannels()
    await expect(server.recv({ timeout: 5 })).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    const signal = AbortSignal.abort()
    await expect(server.recv({ signal })).rejects.toThrow(
      expect.objectContaining({ code: 'ABORT_ERR' }),
    )
  })

  it('remains for the next call after break in a loop over iterRecv', async () => {
    const [client, server] = await connectedChannels()
    await client.send('1')
    await client.send('2')
    for await (const value of server.iterRecv()) {
      expect(String(value)).toBe('1')
      break
    }
    expect(String(await server.recv())).toBe('2')
  })
})

describe('an invalid msg_channel frame', () => {
  it.each([
    'XXMSG 2\r\nhi',
    '\r\nMSG 2\nhi',
    '\r\n  MSG 2  \r\nhi',
    '\r\nMSG +2\r\nhi',
    '\r\nMSG -1\r\nhi',
    '\r\nMSG \r\nhi',
    '\r\nMSG 2 3\r\nhi',
    '\r\nMSG\t2\r\nhi',
    '\r\nmsg 2\r\nhi',
    '\r\nMSG 0x2\r\nhi',
    '\r\nMSG 99999999999999999999\r\nhi',
    '\r\n\r\nMSG 2\r\nhi',
  ])('ends the connection with an error that has a sample of it: %j', async text => {
    const [socket, channel] = await rawClientAndChannel()
    socket.write(`\r\nMSG 4\r\ngood${text}`)
    expect(String(await channel.recv())).toBe('good')
    await expect(channel.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_BAD_HEADER'))
    const { sample } = (await channel.recv().catch(error => error)) as { sample: Buffer }
    expect(text.includes(sample.toString('latin1').slice(0, 1))).toBe(true)
    await expect(channel.send('x')).rejects.toEqual(errorWithCode('ERR_FDWIRE_BAD_HEADER'))
  })

  it('longer than maxMessage rejects recv', async () => {
    const [client, server] = await connectedChannels({ maxMessage: 10 })
    await client.send('x'.repeat(10))
    expect((await server.recv())?.length).toBe(10)
    await client.send('x'.repeat(11))
    await expect(server.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_MESSAGE_TOO_LARGE'))
  })
})
