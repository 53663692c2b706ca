/** toDuplex: how a stream over a channel ends and fails, compared with a net.Socket. */
import { once } from 'node:events'
import { connect as connectSocket, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type Duplex, PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { finished, pipeline } from 'node:stream/promises'
import { connect, pair, toDuplex } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import { bytes, readAll, receiveAll, streamAndPeer } from '../support/duplex.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

const RAW = { protocol: 'raw' } as const

describe('the end of a stream over a channel', () => {
  it('half-closes: the peer can answer after it has seen our end', async () => {
    const { stream, peer } = streamAndPeer()
    stream.end('question')
    expect((await receiveAll(peer)).toString()).toBe('question')
    expect(stream.writableFinished).toBe(true)
    peer.send('answer')
    peer.end()
    expect(await text(stream)).toBe('answer')
  })

  it('ends its own side after the peer has ended, and what it writes before still arrives', async () => {
    const { stream, peer } = streamAndPeer({ allowHalfOpen: false })
    expect(stream.allowHalfOpen).toBe(false)
    peer.end()
    await loopTurns(10)
    // The end is not read yet, so the stream has not ended itself.
    stream.write('late')
    stream.resume()
    await once(stream, 'close')
    expect((await receiveAll(peer)).toString()).toBe('late')
  })

  it('stays writable after the end of the peer with allowHalfOpen', async () => {
    const { stream, peer } = streamAndPeer({ allowHalfOpen: true })
    peer.end()
    stream.resume()
    await once(stream, 'end')
    await loopTurns(10)
    expect([stream.writable, stream.destroyed]).toEqual([true, false])
    stream.end('still here')
    expect((await receiveAll(peer)).toString()).toBe('still here')
    await finished(stream)
  })

  it('keeps what it has received readable after both sides have ended', async () => {
    const { stream, channel, peer } = streamAndPeer()
    stream.end()
    peer.send('unread')
    stream.read(0)
    await once(stream, 'readable')
    peer.end()
    await expect.poll(() => channel.closed).toBe(true)
    await loopTurns(5)
    expect(stream.destroyed).toBe(false)
    expect(await text(stream)).toBe('unread')
    await finished(stream)
  })

  it('is an end at once for a channel whose peer had ended before', async () => {
    const [own, peer] = pair({ ...RAW, allowHalfOpen: true })
    track(peer).end()
    expect(await track(own).receive()).toBe(null)
    const stream = toDuplex(own)
    expect(await readAll(stream)).toBe('')
    stream.end('reply')
    expect((await receiveAll(peer)).toString()).toBe('reply')
  })

  it('comes without an end event when the program closes the channel itself', async () => {
    const { stream, channel } = streamAndPeer()
    stream.on('end', () => expect.unreachable())
    stream.resume()
    await Promise.all([channel.close(), once(stream, 'close')])
    expect(stream.errored).toBe(null)
  })

  it('refuses a write after the end, as every Writable does', async () => {
    const { stream } = streamAndPeer()
    stream.end()
    const failed = once(stream, 'error')
    expect(stream.write('more')).toBe(false)
    expect((await failed)[0]).toMatchObject({ code: 'ERR_STREAM_WRITE_AFTER_END' })
  })
})

describe('the failure of a stream over a channel', () => {
  it('closes the channel when the stream is destroyed, with its error', async () => {
    const { stream, channel, peer } = streamAndPeer()
    const failed = once(stream, 'error')
    stream.destroy(new Error('enough'))
    expect(channel.closed).toBe(true)
    expect((await failed)[0].message).toBe('enough')
    expect(await peer.receive()).toBe(null)
  })

  it('fails the callbacks of writes that are pending when it is destroyed', async () => {
    const { stream } = streamAndPeer()
    const results: unknown[] = []
    for (let i = 0; i < 3; i++) stream.write(bytes(4_000_000), error => results.push(error))
    stream.destroy()
    await expect.poll(() => results.length).toBe(3)
    expect(results.every(error => error instanceof Error)).toBe(true)
  })

  it('emits the error of the kernel, and then close', async () => {
    const { stream, peer } = streamAndPeer({ allowHalfOpen: true })
    const events: unknown[] = []
    stream.on('error', error => events.push(error))
    const closed = new Promise<void>(resolve => {
      stream.on('close', () => resolve(void events.push('close')))
    })
    peer.destroy()
    stream.write('to nobody')
    await closed
    expect(events).toEqual([errorWithCode('EPIPE'), 'close'])
  })

  it('reports an abort of its signal', async () => {
    const { stream, channel } = streamAndPeer()
    const controller = new AbortController()
    const reading = pipeline(stream, new PassThrough().resume(), { signal: controller.signal })
    controller.abort()
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' })
    await expect.poll(() => channel.closed).toBe(true)
  })

  it('is that of the channel if the program destroys the channel', async () => {
    const { stream, channel } = streamAndPeer()
    const failed = once(stream, 'error')
    channel.destroy(new Error('from outside'))
    expect((await failed)[0].message).toBe('from outside')
    expect(stream.destroyed).toBe(true)
  })
})

describe('a stream over a channel, compared with a net.Socket', () => {
  /** Runs a scenario at the client's end of a connection. Returns the events of the client. */
  async function eventsOf(
    open: (path: string) => Promise<Duplex>,
    allowHalfOpen: boolean,
    scenario: (client: Duplex, server: Socket) => void,
  ): Promise<string[]> {
    const path = join(temporaryDirectory(), 'socket')
    const server = createServer({ allowHalfOpen: true }).listen(path)
    await once(server, 'listening')
    const accepted = once(server, 'connection')
    const client = await open(path)
    const [socket] = (await accepted) as [Socket]
    expect(client.allowHalfOpen).toBe(allowHalfOpen)
    const events: string[] = []
    for (const event of ['end', 'finish', 'error', 'close'] as const) {
      client.on(event, (error?: Error & { code?: string }) =>
        events.push(event === 'error' ? `error ${error?.code ?? error?.message}` : event),
      )
    }
    client.on('data', chunk => events.push(`data ${chunk}`))
    const closed = once(client, 'close').catch(() => {})
    socket.on('error', () => {})
    scenario(client, socket)
    await closed
    socket.destroy()
    await new Promise(resolve => server.close(resolve))
    return events
  }

  const SCENARIOS: [string, boolean, (client: Duplex, server: Socket) => void][] = [
    ['the peer ends', false, (_, server) => server.end('bye')],
    [
      'the peer ends, half-open',
      true,
      (client, server) => {
        client.on('end', () => client.end('after'))
        server.end('bye')
      },
    ],
    [
      'both end',
      false,
      (client, server) => {
        server.on('end', () => server.end('answer')).resume()
        client.end('question')
      },
    ],
    ['it is destroyed', false, client => client.destroy()],
    ['it is destroyed with an error', false, client => client.destroy(new Error('broken'))],
    [
      'it writes after the peer has gone',
      true,
      (client, server) => {
        server.destroy()
        client.on('end', () => client.write('too late'))
      },
    ],
    [
      'it is destroyed while it reads',
      false,
      (client, server) => {
        client.on('data', () => client.destroy())
        server.write('hello')
      },
    ],
  ]

  it.each(SCENARIOS)('emits the same events when %s', async (_, allowHalfOpen, scenario) => {
    const socket = async (path: string) => {
      const client = connectSocket({ path, allowHalfOpen })
      await once(client, 'connect')
      return client
    }
    const stream = async (path: string) =>
      toDuplex(track(await connect(path, { ...RAW, allowHalfOpen })))
    const expected = await eventsOf(socket, allowHalfOpen, scenario)
    expect(await eventsOf(stream, allowHalfOpen, scenario)).toEqual(expected)
  })
})
