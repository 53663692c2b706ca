import { once } from 'node:events'

import { bind, connect, type FdSet } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  channelPair,
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  RAW_DGRAM,
  receiveValues,
  track,
  withFd,
} from '../support/channels.js'

destroyChannelsAfterEach()

const value = (message: { value: unknown } | null) => message?.value

describe('a message', () => {
  it('goes to receive() and request() in the order of the calls, then to the listeners', async () => {
    const [a, b] = channelPair()
    const values: unknown[] = []
    b.on('message', value => values.push(value))
    const order: unknown[] = []
    const waiting = [b.receive(), b.request('?'), b.receive(), b.request('?')]
    waiting.forEach((promise, i) => void promise.then(message => order.push([i, value(message)])))
    for (let i = 0; i < 6; i++) a.send(i)
    while (values.length < 2) await loopTurns(1)
    expect(order).toEqual([0, 1, 2, 3].map(i => [i, i]))
    expect(values).toEqual([4, 5])
  })

  it('goes to every listener of the event', async () => {
    const [a, b] = channelPair()
    const seen: unknown[] = []
    b.on('message', (value, fds) => seen.push([1, value, fds.length]))
    b.on('message', (value, fds) => seen.push([2, value, fds.length]))
    a.send('x')
    await once(b, 'message')
    expect(seen).toEqual([
      [1, 'x', 0],
      [2, 'x', 0],
    ])
  })

  it('goes to receive() while the channel is paused', async () => {
    const [a, b] = channelPair()
    b.on('message', () => expect.unreachable())
    b.pause()
    a.send(1)
    a.send(2)
    expect(await receiveValues(b, 2)).toEqual([1, 2])
  })
})

describe('an iterator', () => {
  it('yields every message and ends when the channel is closed', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 5; i++) a.send(i)
    const seen: unknown[] = []
    for await (const { value, fds, from } of b) {
      expect([fds.length, from]).toEqual([0, undefined])
      if (seen.push(value) === 5) void b.close()
    }
    expect(seen).toEqual([0, 1, 2, 3, 4])
    for await (const _ of b) expect.unreachable()
  })

  it('leaves messages that were read ahead to the next consumer when it breaks', async () => {
    const [a, b] = channelPair()
    await withFd(fd => {
      for (let i = 0; i < 6; i++) a.send(i, { fds: [fd] })
    }, '/dev/full')
    for (let round = 0; round < 3; round++) {
      for await (const { value, fds } of b) {
        expect(value).toBe(round)
        fds.close()
        break
      }
    }
    expect([b.closed, b.stats.unread]).toEqual([false, 3])
    const rest = new Promise<unknown[]>(resolve => {
      const values: unknown[] = []
      b.on('message', (value, fds) => {
        fds.close()
        if (values.push(value) === 3) resolve(values)
      })
    })
    expect(await rest).toEqual([3, 4, 5])
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('conflicts with another iterator and with a listener, in either order', async () => {
    const [a, b] = channelPair()
    const first = b[Symbol.asyncIterator]()
    const pending = first.next()
    await expect(b[Symbol.asyncIterator]().next()).rejects.toEqual(
      errorWithCode('CONSUMER_CONFLICT'),
    )
    expect(() => b.on('message', () => {})).toThrow(errorWithCode('CONSUMER_CONFLICT'))
    expect(() => b.once('message', () => {})).toThrow(errorWithCode('CONSUMER_CONFLICT'))
    expect(() => b.prependListener('message', () => {})).toThrow(errorWithCode('CONSUMER_CONFLICT'))
    a.send(1)
    expect((await pending).value?.value).toBe(1)
    await first.return?.()
    const listener = () => {}
    b.on('message', listener)
    await expect(first.next()).resolves.toEqual({ done: true, value: undefined })
    await expect(b[Symbol.asyncIterator]().next()).rejects.toEqual(
      errorWithCode('CONSUMER_CONFLICT'),
    )
    b.off('message', listener)
    a.send(2)
    expect((await b[Symbol.asyncIterator]().next()).value?.value).toBe(2)
  })

  it('throws the error that ends the channel, also if it comes while the loop body runs', async () => {
    for (const when of ['waiting', 'running', 'breaking'] as const) {
      const [a, b] = channelPair()
      a.send(1)
      const fatal = new Error(when)
      const loop = (async () => {
        for await (const _ of b) {
          if (when === 'waiting') continue
          b.destroy(fatal)
          await loopTurns(3)
          if (when === 'breaking') break
        }
      })()
      if (when === 'waiting') {
        await loopTurns(3)
        b.destroy(fatal)
      }
      // There is no 'error' listener: if the event were emitted, this process would end.
      await expect(loop).rejects.toBe(fatal)
    }
  })
})

describe('receive', () => {
  it('rejects with TIMEOUT at its timeout and takes no message', async () => {
    const [a, b] = channelPair()
    const received = b.receive({ timeout: 5 })
    await expect(received).rejects.toEqual(errorWithCode('TIMEOUT'))
    a.send(1)
    await loopTurns(3)
    expect(b.stats).toMatchObject({ received: 0 })
    expect(await receiveValues(b, 1)).toEqual([1])
  })

  it("rejects with an AbortError and the signal's reason on abort, and takes no message", async () => {
    const [a, b] = channelPair()
    const aborter = new AbortController()
    const [first, second] = [b.receive({ signal: aborter.signal }), b.receive()]
    const reason = new Error('why')
    aborter.abort(reason)
    await expect(first).rejects.toMatchObject({ name: 'AbortError', cause: reason })
    a.send(1)
    expect(value(await second)).toBe(1)
    await expect(b.receive({ signal: aborter.signal })).rejects.toMatchObject({
      name: 'AbortError',
    })
    await expect(b.request(1, { signal: aborter.signal })).rejects.toMatchObject({
      name: 'AbortError',
    })
    expect(b.stats.sent).toBe(0)
  })

  it('ignores an abort after its message', async () => {
    const [a, b] = channelPair()
    const aborter = new AbortController()
    const options = { signal: aborter.signal, timeout: 60_000 }
    const waiting = Array.from({ length: 10 }, () => b.receive(options))
    for (let i = 0; i < 10; i++) a.send(i)
    expect((await Promise.all(waiting)).map(value)).toEqual([...Array(10).keys()])
    aborter.abort()
    a.send(1)
    expect(await receiveValues(b, 1)).toEqual([1])
  })

  it('rejects invalid options, as request does', async () => {
    const [, b] = channelPair()
    for (const options of [{ timeout: -1 }, { timeout: '1' }, { signal: {} }, { time: 1 }]) {
      await expect(b.receive(options as never)).rejects.toThrow(/timeout|signal|time/)
      await expect(b.request(1, options as never)).rejects.toThrow(/timeout|signal|time/)
    }
    expect(b.stats.sent).toBe(0)
  })
})

describe('the FdSet of a message', () => {
  it('stays open in a listener after an await', async () => {
    const [a, b] = channelPair()
    const done = new Promise<FdSet>(resolve => {
      b.on('message', async (_, fds) => {
        await loopTurns(3)
        resolve(fds)
      })
    })
    await withFd(fd => a.send(1, { fds: [fd] }), '/dev/full')
    const fds = await done
    expect(fds.kind(0)).toBe('chardev')
    fds.close()
  })

  it('carries descriptors on a raw channel, up to maxFds', async () => {
    const receiver = track(await bind(null, { ...RAW_DGRAM, maxFds: 2 }))
    const sender = track(
      await connect(receiver.localAddress as string, { ...RAW_DGRAM, maxFds: 3 }),
    )
    await withFd(fd => {
      sender.send('', { fds: [fd] })
      sender.send('three', { fds: [fd, fd, fd] })
      sender.send('two', { fds: [fd, fd] })
    }, '/dev/full')
    const malformed = once(receiver, 'malformed')
    const [one, two] = [await receiver.receive(), await receiver.receive()]
    expect([one?.fds.length, two?.fds.length]).toEqual([1, 2])
    expect((await malformed)[0]).toEqual(errorWithCode('TOO_MANY_FDS'))
    one?.fds.close()
    two?.fds.close()
    expect(countOpen('/dev/full')).toBe(0)
  })
})
