import { once } from 'node:events'
import { type Channel, type Message, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  rawDgramPair,
  receiveValues,
  track,
  withFd,
} from '../support/channels.js'

destroyChannelsAfterEach()

interface Rpc {
  id?: number
  event?: string
}

/** Returns a predicate for the reply with an id. */
const isReplyTo = (id: number) => (message: Message) => (message.value as Rpc).id === id

function streamPair(options = {}) {
  const [a, b] = pair({ protocol: 'lines', encoding: 'json', ...options })
  return [track(a), track(b)] as const
}

describe('request with match', () => {
  it('takes the message that the predicate accepts, in any order', async () => {
    const [client, server] = streamPair()
    const replies = [1, 2, 3].map(id => client.request({ id }, { match: isReplyTo(id) }))
    await receiveValues(server, 3)
    for (const id of [3, 1, 2]) server.send({ id, says: `re ${id}` })
    const values = (await Promise.all(replies)).map(({ value }) => value)
    expect(values).toEqual([1, 2, 3].map(id => ({ id, says: `re ${id}` })))
  })

  it('leaves every other message to listeners, receive and iterators, in order', async () => {
    const [client, server] = streamPair()
    const events: unknown[] = []
    client.on('message', value => events.push(value))
    const first = client.request({ id: 1 }, { match: isReplyTo(1) })
    server.sendAll([{ event: 'a' }, { id: 1 }, { event: 'b' }])
    expect((await first).value).toEqual({ id: 1 })
    await expect.poll(() => events).toEqual([{ event: 'a' }, { event: 'b' }])
    client.removeAllListeners('message')
    const second = client.request({ id: 2 }, { match: isReplyTo(2) })
    const received = client.receive()
    server.sendAll([{ event: 'c' }, { id: 2 }, { event: 'd' }])
    expect([(await second).value, (await received)?.value]).toEqual([{ id: 2 }, { event: 'c' }])
    for await (const { value } of client) {
      expect(value).toEqual({ event: 'd' })
      break
    }
  })

  it('goes before receive() calls that have waited for longer', async () => {
    const [client, server] = streamPair()
    const received = client.receive()
    const reply = client.request({ id: 1 }, { match: isReplyTo(1) })
    server.sendAll([{ id: 1 }, { event: 'a' }])
    expect([(await reply).value, (await received)?.value]).toEqual([{ id: 1 }, { event: 'a' }])
  })

  it('gives a message that several predicates accept to the oldest request', async () => {
    const [client, server] = streamPair()
    const replies = [1, 2].map(id => client.request({ id }, { match: () => true }))
    server.sendAll(['first', 'second'])
    expect((await Promise.all(replies)).map(({ value }) => value)).toEqual(['first', 'second'])
  })

  it('hands over the descriptors of the reply, and lets the predicate see the whole message', async () => {
    const [client, server] = channelPair()
    const seen: unknown[] = []
    const match = ({ value, fds, from }: Message) => {
      seen.push([value, fds.length, from])
      return fds.length > 0
    }
    const reply = client.request('?', { match })
    await receiveValues(server, 1)
    server.send('without')
    await withFd(fd => server.send('with', { fds: [fd] }), '/dev/full')
    const { value, fds } = await reply
    expect([value, fds.kind(0), seen]).toEqual([
      'with',
      'chardev',
      [
        ['without', 0, undefined],
        ['with', 1, undefined],
      ],
    ])
    fds.close()
    expect((await client.receive())?.value).toBe('without')
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('holds no place: a request that is given up lets later ones and replies pass', async () => {
    const [client, server] = streamPair({ replyTimeout: 1 })
    const abort = new AbortController()
    const given = [
      client.request({ id: 1 }, { match: isReplyTo(1), timeout: 1 }),
      client.request({ id: 2 }, { match: isReplyTo(2), signal: abort.signal }),
    ].map(promise => promise.catch(error => error))
    abort.abort()
    expect((await given[0]) as unknown).toEqual(errorWithCode('TIMEOUT'))
    expect(await given[1]).toMatchObject({ name: 'AbortError' })
    const third = client.request({ id: 3 }, { match: isReplyTo(3) })
    server.sendAll([{ id: 1 }, { id: 3 }])
    expect((await third).value).toEqual({ id: 3 })
    // The late reply is an ordinary message.
    expect((await client.receive())?.value).toEqual({ id: 1 })
    expect(client.stats.lateReplies).toBe(0)
    expect(client.closed).toBe(false)
  })

  it('does not take the place of a request without a predicate', async () => {
    const [client, server] = streamPair()
    const ordered = [client.request('one'), client.request('two')]
    const matched = client.request({ id: 1 }, { match: isReplyTo(1) })
    server.sendAll(['re one', { id: 1 }, 're two'])
    const values = (await Promise.all([...ordered, matched])).map(({ value }) => value)
    expect(values).toEqual(['re one', 're two', { id: 1 }])
  })

  it('is rejected by what its own predicate throws; the next predicate is asked', async () => {
    const [client, server] = streamPair()
    const failure = new Error('no predicate')
    const throwing = client.request(1, {
      match: () => {
        throw failure
      },
    })
    const next = client.request(2, { match: () => true })
    server.send('reply')
    await expect(throwing).rejects.toBe(failure)
    expect((await next).value).toBe('reply')
  })

  it('refuses a predicate that returns a promise, which would accept everything', async () => {
    const [client, server] = streamPair()
    const request = client.request(1, { match: (async () => false) as never })
    server.send('reply')
    await expect(request).rejects.toThrow(/match must return a boolean, not a promise/)
    expect((await client.receive())?.value).toBe('reply')
  })

  it('is not rejected by a malformed message', async () => {
    const [raw, client] = await rawDgramPair()
    const malformed = once(client, 'malformed')
    const to = raw.localAddress as string
    const reply = client.request(1, { to, match: () => true })
    raw.send('no json')
    expect(await malformed).toMatchObject([{ code: 'ERR_FDWIRE_NOT_JSON' }, to])
    raw.send('"reply"')
    expect((await reply).value).toBe('reply')
  })

  it('takes a reply on an unconnected socket only from its destination', async () => {
    const client = await boundChannel()
    const [server, stranger] = [await boundChannel(), await boundChannel()]
    const [to, back] = [server.localAddress as string, client.localAddress as string]
    const reply = client.request({ id: 1 }, { to, match: isReplyTo(1) })
    stranger.send({ id: 1, forged: true }, { to: back })
    server.send({ id: 1 }, { to: back })
    expect((await reply).value).toEqual({ id: 1 })
    expect((await client.receive())?.value).toEqual({ id: 1, forged: true })
  })

  it('is offered the messages that were read before', async () => {
    const [client, server] = streamPair()
    server.sendAll([{ event: 'a' }, { id: 1 }, { event: 'b' }])
    expect((await client.receive())?.value).toEqual({ event: 'a' })
    const reply = client.request({ id: 1 }, { match: isReplyTo(1) })
    expect((await reply).value).toEqual({ id: 1 })
    expect((await client.receive())?.value).toEqual({ event: 'b' })
  })

  it('is rejected if it cannot be delivered', async () => {
    const [a] = channelPair()
    await expect(a.request(1n, { match: () => true })).rejects.toEqual(errorWithCode('UNENCODABLE'))
  })

  it('is rejected when the channel fails, is closed, or closes in the predicate', async () => {
    const failure = new Error('failed')
    for (const [end, expected] of [
      [(channel: Channel) => channel.destroy(failure), failure],
      [(channel: Channel) => void channel.close(), errorWithCode('CLOSED')],
    ] as const) {
      const [client] = streamPair()
      const request = client.request(1, { match: () => true })
      end(client as Channel)
      await expect(request).rejects.toEqual(expected)
    }
    const [client, server] = channelPair()
    const request = client.request(1, {
      match: () => {
        client.destroy()
        return true
      },
    })
    await withFd(fd => server.send('reply', { fds: [fd] }), '/dev/full')
    await expect(request).rejects.toEqual(errorWithCode('CLOSED'))
    await loopTurns(2)
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('rejects a predicate that is not a function', async () => {
    const [client] = streamPair()
    await expect(client.request(1, { match: 'x' as never })).rejects.toThrow(
      /match must be a function, not 'x'/,
    )
    expect(client.stats.sent).toBe(0)
  })

  it('takes time linear in the number of requests that are answered in order', async () => {
    const [client, server] = streamPair()
    const count = 20_000
    const replies = Array.from({ length: count }, (_, id) =>
      client.request({ id }, { match: isReplyTo(id) }),
    )
    server.sendAll(await receiveValues(server, count))
    const values = (await Promise.all(replies)).map(({ value }) => (value as Rpc).id)
    expect(values).toEqual(Array.from({ length: count }, (_, id) => id))
  }, 60_000)
})
