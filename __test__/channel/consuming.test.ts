import { once } from 'node:events'
import { setTimeout as later } from 'node:timers/promises'
import { bind, connect, type FdSet } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  loopTurns,
  RAW_DGRAM,
  rawDgramPair,
  receiveValues,
  sendUntilQueued,
  track,
  withFd,
} from '../support/channels.js'

destroyChannelsAfterEach()

const value = (message: { value: unknown } | null) => message?.value

describe('each message goes to exactly one consumer', () => {
  it('to receive() and request() in the order of the calls, then to the listeners', async () => {
    const [a, b] = channelPair()
    const heard: unknown[] = []
    b.on('message', value => heard.push(value))
    const order: unknown[] = []
    const waiting = [b.receive(), b.request('?'), b.receive(), b.request('?')]
    waiting.forEach((promise, i) => void promise.then(message => order.push([i, value(message)])))
    for (let i = 0; i < 6; i++) a.send(i)
    while (heard.length < 2) await loopTurns(1)
    expect(order).toEqual([0, 1, 2, 3].map(i => [i, i]))
    expect(heard).toEqual([4, 5])
  })

  it('all listeners of one message count as one', async () => {
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

  it('receive() takes while paused', async () => {
    const [a, b] = channelPair()
    b.on('message', () => expect.unreachable())
    b.pause()
    a.send(1)
    a.send(2)
    expect(await receiveValues(b, 2)).toEqual([1, 2])
  })
})

describe('an iterator', () => {
  it('gives every message, and ends when the channel is closed', async () => {
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

  it('leaves what was read ahead when it breaks, and the channel open', async () => {
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
    const heard = new Promise<unknown[]>(resolve => {
      const values: unknown[] = []
      b.on('message', (value, fds) => {
        fds.close()
        if (values.push(value) === 3) resolve(values)
      })
    })
    expect(await heard).toEqual([3, 4, 5])
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('conflicts with a second one, and with a listener, whichever comes first', async () => {
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

  it('throws the error that ends the channel, also one that comes while its body works', async () => {
    for (const when of ['waiting', 'working', 'breaking'] as const) {
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
      // Nobody listens to 'error': were it emitted, this process would end.
      await expect(loop).rejects.toBe(fatal)
    }
  })
})

describe('a wait that is given up', () => {
  it('by timeout rejects with ERR_FDWIRE_TIMEOUT and takes no message', async () => {
    const [a, b] = channelPair()
    const received = b.receive({ timeout: 5 })
    await expect(received).rejects.toEqual(errorWithCode('TIMEOUT'))
    a.send(1)
    await loopTurns(3)
    expect(b.stats).toMatchObject({ received: 0 })
    expect(await receiveValues(b, 1)).toEqual([1])
  })

  it('by its signal rejects with an AbortError that has the reason, and takes no message', async () => {
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

  it('leaves nothing on the signal, and an abort after the message does nothing', async () => {
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

  it('is refused for options that are none', async () => {
    const [, b] = channelPair()
    for (const options of [{ timeout: -1 }, { timeout: '1' }, { signal: {} }, { time: 1 }]) {
      await expect(b.receive(options as never)).rejects.toThrow(/timeout|signal|time/)
      await expect(b.request(1, options as never)).rejects.toThrow(/timeout|signal|time/)
    }
    expect(b.stats.sent).toBe(0)
  })
})

describe('request', () => {
  it('matches several in flight in order', async () => {
    const [client, server] = channelPair()
    server.on('message', value => server.send(`re ${value}`))
    const replies = await Promise.all([1, 2, 3].map(i => client.request(i)))
    expect(replies.map(value)).toEqual(['re 1', 're 2', 're 3'])
  })

  it('carries descriptors there and back', async () => {
    const [client, server] = channelPair()
    server.on('message', (_, fds) => {
      server.send('back', { fds })
      fds.close()
    })
    const { fds } = await withFd(fd => client.request('there', { fds: [fd, fd] }), '/dev/full')
    expect([fds.length, countOpen('/dev/full')]).toEqual([2, 2])
    fds.close()
  })

  it('that was abandoned keeps its place; its late reply is dropped, closed and counted', async () => {
    const [client, server] = channelPair()
    const aborter = new AbortController()
    const first = client.request(1, { timeout: 5 })
    const second = client.request(2, { signal: aborter.signal })
    const third = client.request(3)
    await expect(first).rejects.toEqual(errorWithCode('TIMEOUT'))
    aborter.abort()
    await expect(second).rejects.toMatchObject({ name: 'AbortError' })
    expect(await receiveValues(server, 3)).toEqual([1, 2, 3])
    await withFd(fd => {
      for (let i = 1; i <= 3; i++) server.send(`re ${i}`, { fds: [fd] })
    }, '/dev/full')
    const { value, fds } = await third
    expect(value).toBe('re 3')
    fds.close()
    expect(countOpen('/dev/full')).toBe(0)
    expect(client.stats).toMatchObject({ lateReplies: 2, openFds: 0 })
  })

  it('that was abandoned loses its place after sendTimeout: its reply may be lost', async () => {
    const [client, server] = channelPair({ sendTimeout: 30 })
    await expect(client.request(1, { timeout: 5 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    await expect(client.receive({ timeout: 50 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    const second = client.request(2)
    server.send('re 2')
    expect((await second).value).toBe('re 2')
    expect(client.stats.lateReplies).toBe(0)
  })

  it('whose reply is malformed rejects, and the next has its own', async () => {
    const [server, client] = await rawDgramPair()
    const to = server.localAddress as string
    const replies = [client.request(1, { to }), client.request(2, { to })]
    server.send('no')
    server.send('2')
    await expect(replies[0]).rejects.toEqual(errorWithCode('NOT_JSON'))
    expect((await replies[1])?.value).toBe(2)
  })

  it('takes a reply only from where it went; other messages go to the others', async () => {
    const client = await boundChannel()
    const [server, stranger] = [await boundChannel(), await boundChannel()]
    const to = client.localAddress as string
    const asked = client.request('?', { to: server.localAddress as string })
    const heard: unknown[] = []
    client.on('message', value => heard.push(value))
    stranger.send('stranger 1', { to })
    await loopTurns(3)
    server.send('reply', { to })
    stranger.send('stranger 2', { to })
    server.send('more', { to })
    expect(value(await asked)).toBe('reply')
    while (heard.length < 3) await loopTurns(1)
    expect(heard).toEqual(['stranger 1', 'stranger 2', 'more'])
  })

  it('finds its reply behind messages that nobody wants, which keep their order', async () => {
    const client = await boundChannel()
    const [server, stranger] = [await boundChannel(), await boundChannel()]
    const to = client.localAddress as string
    for (let i = 0; i < 3; i++) stranger.send(i, { to })
    const asked = client.request('?', { to: server.localAddress as string })
    await loopTurns(3)
    expect(client.stats.unread).toBe(3)
    for (const text of ['reply', 'stale', 'stale too']) server.send(text, { to })
    expect(value(await asked)).toBe('reply')
    const again = client.request('?', { to: Buffer.from(server.localAddress as string) })
    expect(value(await again)).toBe('stale')
    expect(await receiveValues(client, 4)).toEqual([0, 1, 2, 'stale too'])
  })

  it('stops reading when too much is kept in front of its reply, and goes on when it is taken', async () => {
    const client = await boundChannel()
    const [server, stranger] = [await boundChannel(), await boundChannel()]
    const to = client.localAddress as string
    const asked = client.request('?', { to: server.localAddress as string })
    const text = 'x'.repeat(200_000)
    for (let sent = 0; sent < 170; sent++) {
      if (
        !stranger.send(text, { to }) &&
        (await Promise.race([once(stranger, 'drain'), later(200)])) === undefined
      )
        break
    }
    const { unread } = client.stats
    expect(unread).toBeGreaterThan(32 * 5)
    expect(unread).toBeLessThan(172)
    server.send('reply', { to })
    await loopTurns(3)
    await receiveValues(client, unread)
    expect(value(await asked)).toBe('reply')
  })

  it('that can not be sent rejects, and waits for nothing', async () => {
    const [a, b] = channelPair()
    await expect(b.request(1n)).rejects.toEqual(errorWithCode('UNENCODABLE'))
    await expect(b.request(1, { fds: [9_999] })).rejects.toEqual(errorWithCode('EBADF'))
    a.send(1)
    await loopTurns(3)
    expect(b.stats.received).toBe(0)
  })

  it('that is given up in the queue rejects with the reason, and keeps no place', async () => {
    const server = await boundChannel()
    const client = track(await bind('', { ...JSONCOMM, sendTimeout: 30 }))
    const to = server.localAddress as string
    sendUntilQueued(client, { to })
    const undelivered = once(client, 'undelivered')
    await expect(client.request('?', { to })).rejects.toEqual(errorWithCode('UNDELIVERED'))
    expect(await undelivered).toMatchObject([{ code: 'ERR_FDWIRE_UNDELIVERED' }, { to }])
    server.send('later', { to: client.localAddress as string })
    expect(await receiveValues(client, 1)).toEqual(['later'])
  })
})

describe('malformed messages', () => {
  it('come at their own place among the kept ones, not before a consumer has the older', async () => {
    const [sender, receiver] = await rawDgramPair()
    for (const text of ['1', '2', 'no', '3']) sender.send(text)
    const malformed = once(receiver, 'malformed')
    expect(await receiveValues(receiver, 3)).toEqual([1, 2, 3])
    expect((await malformed)[0]).toEqual(errorWithCode('NOT_JSON'))
  })
})

describe('a set of descriptors', () => {
  it('is still the handler’s after an await', async () => {
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

  it('raw carries them too, where maxFds allows it', async () => {
    const receiver = track(await bind('', { ...RAW_DGRAM, maxFds: 2 }))
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
