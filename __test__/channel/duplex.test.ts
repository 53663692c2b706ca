/** toDuplex: a stream of Node over a raw channel behaves as a net.Socket does. */
import { once } from 'node:events'
import { Duplex, PassThrough, Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { createGzip, gunzipSync } from 'node:zlib'
import { type Channel, connect, listen, over, pair, toDuplex } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import { bytes, receiveAll, streamAndPeer, streamPair } from '../support/duplex.js'

destroyChannelsAfterEach()

const RAW = { protocol: 'raw' } as const

describe('a stream over a channel', () => {
  it('carries bytes in both directions, and ends after both sides have ended', async () => {
    const [a, b] = streamPair()
    expect(a).toBeInstanceOf(Duplex)
    b.pipe(b)
    a.end('to and fro')
    expect(await text(a)).toBe('to and fro')
    await Promise.all([a, b].map(stream => stream.closed || once(stream, 'close')))
    expect([a.destroyed, b.destroyed, a.errored, b.errored]).toEqual([true, true, null, null])
  })

  it('carries bytes over TCP and over another stream', async () => {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, RAW)
    const accepted = once(listener, 'connection')
    const client = track(await connect(listener.address as never, RAW))
    const [server] = (await accepted) as [Channel<Buffer>]
    const echo = toDuplex(track(server))
    echo.pipe(echo)
    const data = bytes(300_000)
    const stream = toDuplex(client)
    stream.end(data)
    expect((await buffer(stream)).equals(data)).toBe(true)
    await listener.close()

    const carrier = new PassThrough()
    const looped = toDuplex(track(over(carrier, RAW)))
    looped.end('around')
    expect(await text(looped)).toBe('around')
  })

  it('reads nothing before the first read, and nothing more while it is full', async () => {
    const { stream, channel, peer } = streamAndPeer()
    peer.send(bytes(8_000_000))
    await loopTurns(20)
    expect(channel.stats.receivedBytes).toBe(0)
    expect(stream.readableLength).toBe(0)

    stream.read(0)
    await once(stream, 'readable')
    await loopTurns(50)
    const { receivedBytes } = channel.stats
    expect(receivedBytes).toBeGreaterThan(0)
    expect(receivedBytes).toBeLessThan(4_000_000)
    expect(peer.stats.queued).toBeGreaterThan(0)
    stream.resume()
    await peer.flush()
    await expect.poll(() => channel.stats.receivedBytes).toBe(8_000_000)
  })

  it('delivers what the channel had read before, and input that precedes the end', async () => {
    const { stream: writer, peer } = streamAndPeer({ allowHalfOpen: false })
    writer.write('first ')
    const first = await peer.receive()
    writer.write('second ')
    const reader = toDuplex(peer)
    writer.end('third')
    expect(first?.value.toString() + (await text(reader))).toBe('first second third')
  })

  it('is full for its writer until the peer reads, and emits drain then', async () => {
    const { stream, peer } = streamAndPeer()
    expect(stream.writableHighWaterMark).toBe(65_536)
    const chunk = bytes(32_768)
    let written = 0
    let accepted = 0
    const write = () => {
      written += chunk.length
      return stream.write(chunk, () => {
        accepted += chunk.length
      })
    }
    while (write()) await loopTurns(2)
    const drained = once(stream, 'drain')
    await loopTurns(20)
    expect(stream.writableNeedDrain).toBe(true)
    // The callback of a write reports that the kernel has taken it: not yet for the last ones.
    expect(accepted).toBeLessThan(written)

    const received = receiveAll(peer)
    await drained
    stream.end()
    expect((await received).length).toBe(written)
    expect(accepted).toBe(written)
  })

  it('takes any number of corked or pending writes, beyond what the channel may queue', async () => {
    const [own, peer] = pair({ ...RAW, maxQueued: 100_000, highWaterMark: 1_000 })
    const stream = toDuplex(track(own))
    const received = receiveAll(track(peer))
    const chunks = Array.from({ length: 400 }, (_, i) => bytes(5_000).fill(i % 251, 0, 9))
    stream.cork()
    for (const chunk of chunks) stream.write(chunk)
    stream.uncork()
    await new Promise(resolve => stream.end(resolve))
    expect((await received).equals(Buffer.concat(chunks))).toBe(true)
  })

  it('takes strings in every encoding, and empty writes', async () => {
    const { stream, peer } = streamAndPeer({ allowHalfOpen: false })
    const received = receiveAll(peer)
    stream.write('é', 'latin1')
    stream.write('')
    stream.write(Buffer.alloc(0))
    stream.write('00ff', 'hex')
    stream.end('é')
    expect(await received).toEqual(Buffer.from([0xe9, 0, 0xff, 0xc3, 0xa9]))
  })

  it('works with setEncoding, async iteration, read(n) and unshift', async () => {
    const { stream, peer } = streamAndPeer()
    peer.send('euro: €, rest')
    await once(stream, 'readable')
    expect(stream.read(6).toString()).toBe('euro: ')
    stream.unshift('[')
    stream.setEncoding('utf8')
    peer.end()
    let read = ''
    for await (const part of stream) read += part
    expect(read).toBe('[€, rest')
  })

  it('works with pipeline and with web streams, under back-pressure', async () => {
    const data = bytes(3_000_000)
    const [a, b] = streamPair()
    const zipped = buffer(b)
    await pipeline(Readable.from(data, { objectMode: false }), createGzip({ level: 1 }), a)
    expect(gunzipSync(await zipped).equals(data)).toBe(true)

    const [c, d] = streamPair({ allowHalfOpen: true })
    const { readable, writable } = Duplex.toWeb(c)
    const echoed = pipeline(d, new PassThrough(), d)
    const writer = writable.getWriter()
    const sent = writer.write(data).then(() => writer.close())
    const chunks: Uint8Array[] = []
    for await (const chunk of readable) chunks.push(chunk as Uint8Array)
    await Promise.all([sent, echoed])
    expect(Buffer.concat(chunks).equals(data)).toBe(true)
  })
})

describe('toDuplex', () => {
  it('refuses a channel of another protocol or type', () => {
    const [lines] = pair({ protocol: 'lines' }).map(track)
    const [packets] = pair({ protocol: 'raw', type: 'seqpacket' }).map(track)
    expect(() => toDuplex(lines as never)).toThrow(
      /toDuplex takes a channel of raw, not one of lines/,
    )
    expect(() => toDuplex(packets as never)).toThrow(/a stream socket, not seqpacket/)
    expect(() => toDuplex(null as never)).toThrow(TypeError)
  })

  it('refuses a channel that has a consumer, which then still gets its messages', async () => {
    const consumers: ((channel: Channel<Buffer>) => unknown)[] = [
      channel => channel.on('message', () => {}),
      channel => channel.receive(),
      channel => channel[Symbol.asyncIterator]().next(),
      channel => toDuplex(channel),
    ]
    for (const consume of consumers) {
      const [own, peer] = pair(RAW)
      track(peer)
      const consumed = consume(track(own))
      expect(() => toDuplex(own)).toThrow(errorWithCode('CONSUMER_CONFLICT'))
      expect(own.isPaused()).toBe(consumed instanceof Duplex)
      peer.send('x')
      if (consumed instanceof Duplex) consumed.resume()
      await expect.poll(() => own.stats.receivedBytes).toBe(1)
    }
  })

  it('makes every other consumer of the channel fail, which then takes nothing', async () => {
    const [own, peer] = pair(RAW)
    track(peer)
    const stream = toDuplex(track(own))
    const conflict = errorWithCode('CONSUMER_CONFLICT')
    for (const listen of ['on', 'once', 'prependListener'] as const) {
      expect(() => own[listen]('message', () => {})).toThrow(conflict)
    }
    const calls: (() => Promise<unknown>)[] = [
      () => own.receive(),
      () => own.request(Buffer.from('request')),
      () => own.request(Buffer.from('request'), { match: () => true }),
      () => own[Symbol.asyncIterator]().next(),
      () => own.serve(() => undefined),
    ]
    for (const call of calls) {
      await expect(call()).rejects.toEqual(conflict)
      await expect(call()).rejects.toThrow(/a stream of toDuplex\(\) takes the messages/)
    }
    expect([own.listenerCount('message'), own.stats.sent]).toEqual([0, 0])
    peer.send('all for the stream')
    peer.end()
    expect(await text(stream)).toBe('all for the stream')
  })

  it('refuses a closed channel, with the error that has closed it', async () => {
    const [closed, other] = pair(RAW)
    track(other)
    await closed.close()
    expect(() => toDuplex(closed)).toThrow(errorWithCode('CLOSED'))
    const [failed, peer] = pair(RAW)
    track(peer)
    failed.on('error', () => {})
    failed.destroy(new Error('the reason'))
    expect(() => toDuplex(failed)).toThrow('the reason')
  })

  it('returns a stream without the methods for descriptors unless the channel passes some', () => {
    const [own, peer] = pair(RAW)
    track(peer)
    const stream = toDuplex(track(own))
    expect('writeWithFds' in stream || 'closeFds' in stream).toBe(false)
  })
})
