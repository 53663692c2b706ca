import { once } from 'node:events'
import { pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  sendUntilQueued,
  track,
} from '../support/channels.js'

destroyChannelsAfterEach()

const PEER_CLOSED = expect.objectContaining({ code: 'ERR_FDWIRE_PEER_CLOSED', fault: 'peer' })

const TYPES = [
  { protocol: 'lines', encoding: 'json' },
  { protocol: 'jsoncomm', type: 'seqpacket' },
] as const

describe.each(TYPES)('the end of the peer ($protocol)', options => {
  const connected = (more = {}) => {
    const [a, b] = pair({ ...options, ...more } as { protocol: 'jsoncomm' })
    return [track(a), track(b)] as const
  }

  it('rejects the requests in flight with PEER_CLOSED', async () => {
    const [a, b] = connected()
    const requests = Promise.allSettled([
      a.request(1),
      a.request(2, { match: () => true }),
      a.request(3),
    ])
    await b.receive()
    await b.receive()
    await b.receive()
    b.destroy()
    for (const { status, reason } of (await requests) as PromiseRejectedResult[]) {
      expect([status, reason]).toEqual(['rejected', PEER_CLOSED])
    }
  })

  it('rejects a request with PEER_CLOSED before and after the channel has closed itself', async () => {
    const [a, b] = connected()
    // A seqpacket socket reports its end only to a reader.
    a.on('message', () => {})
    const ended = once(a, 'end')
    b.destroy()
    await ended
    await expect(a.request(1)).rejects.toEqual(PEER_CLOSED)
    if (!a.closed) await once(a, 'close')
    await expect(a.request(1)).rejects.toEqual(PEER_CLOSED)
  })

  it('makes every call on the closed channel fail with PEER_CLOSED', async () => {
    const [a, b] = connected()
    a.on('message', () => {})
    const closed = once(a, 'close')
    b.destroy()
    await closed
    for (const call of [() => a.send(1), () => a.sendAll([1]), () => a.pause(), () => a.ref()]) {
      expect(call).toThrow(PEER_CLOSED)
    }
    await expect(a.flush()).rejects.toEqual(PEER_CLOSED)
    expect(await a.receive()).toBe(null)
  })

  it('makes no call fail with PEER_CLOSED after close() or destroy()', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [a, b] = connected()
      a.on('message', () => {})
      const closed = once(a, 'close')
      b.destroy()
      await closed
      await a[end]()
      expect(() => a.send(1)).toThrow(errorWithCode('CLOSED'))
      await expect(a.request(1)).rejects.toEqual(errorWithCode('CLOSED'))
    }
  })

  it('rejects a request with CLOSED if close() or destroy() ends it', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [a] = connected()
      const rejected = expect(a.request(1)).rejects.toMatchObject({
        code: 'ERR_FDWIRE_CLOSED',
        fault: 'caller',
      })
      await a[end]()
      await rejected
    }
  })

  it('leaves CLOSED to a channel whose own side has ended before', async () => {
    const [a, b] = connected({ allowHalfOpen: true })
    const closed = once(a, 'close')
    const request = a.request(1).catch(error => error)
    a.end()
    await b.receive()
    b.end()
    expect(await request).toEqual(PEER_CLOSED)
    await closed
    expect(() => a.send(1)).toThrow(errorWithCode('CLOSED'))
  })
})

describe('a reset by the peer', () => {
  /** Returns a channel that has failed, because its peer has not read what it was sent. */
  async function reset() {
    const [a, b] = pair({ protocol: 'lines', encoding: 'json' })
    track(a).on('error', () => {})
    track(b)
    a.send('unread')
    await a.flush()
    // once() would reject with the error.
    const closed = new Promise<void>(resolve => a.on('close', () => resolve()))
    b.destroy()
    await closed
    return a
  }

  it('makes promises fail with its error, and every other call with PEER_CLOSED', async () => {
    const a = await reset()
    await expect(a.receive()).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(a.request(1)).rejects.toMatchObject({ code: 'ECONNRESET' })
    for (const call of [() => a.send(1), () => a.sendAll([1]), () => a.pause(), () => a.ref()]) {
      expect(call).toThrow(PEER_CLOSED)
    }
  })

  it('leaves CLOSED to a program that has closed the channel as well', async () => {
    const a = await reset()
    a.destroy()
    expect(() => a.send(1)).toThrow(errorWithCode('CLOSED'))
  })
})

describe('a flush', () => {
  it('is rejected if the peer ends before it has taken everything', async () => {
    const [a, b] = pair({ protocol: 'lines', encoding: 'json' })
    track(a)
    track(b)
    a.on('message', () => {})
    a.on('error', () => {})
    b.pause()
    sendUntilQueued(a)
    const flush = a.flush().catch(error => error)
    b.end()
    await expect.poll(() => a.stats.queued).toBeGreaterThan(0)
    b.destroy()
    const { code, fault = 'peer' } = await flush
    // The kernel reports its own error if the peer closes while it has unread input.
    expect(['EPIPE', 'ECONNRESET', 'ERR_FDWIRE_PEER_CLOSED']).toContain(code)
    expect(fault).toBe('peer')
  })
})
