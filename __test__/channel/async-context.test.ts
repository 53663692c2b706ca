import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { bind, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  destroyChannelsAfterEach,
  JSONCOMM,
  loopTurns,
  rawDgramPair,
  receiveValues,
  sendUntilQueued,
  track,
} from '../support/channels.js'

destroyChannelsAfterEach()

const storage = new AsyncLocalStorage<string>()
const pairIn = (context: string, options = {}) =>
  storage.run(context, () => pair({ ...JSONCOMM, ...options })).map(one => track(one)) as [
    Channel,
    Channel,
  ]

describe('the async context of a channel', () => {
  it('is the context in which the channel was created, for each of several channels', async () => {
    const [a, b] = pairIn('first')
    const [c, d] = pairIn('second')
    const seen: unknown[] = []
    for (const channel of [b, d]) {
      storage.run('listening', () => {
        channel.on('message', value => seen.push([value, storage.getStore()]))
      })
    }
    storage.run('sending', () => {
      for (let i = 0; i < 3; i++) {
        a.send('to b')
        c.send('to d')
      }
    })
    while (seen.length < 6) await loopTurns(1)
    const of = (value: string) => seen.filter(one => (one as [string, string])[0] === value)
    expect(of('to b')).toEqual(Array(3).fill(['to b', 'first']))
    expect(of('to d')).toEqual(Array(3).fill(['to d', 'second']))
    expect(storage.getStore()).toBe(undefined)
  })

  it('continues after an await in a listener', async () => {
    const [a, b] = pairIn('created')
    const done = new Promise(resolve => {
      b.on('message', async () => {
        await loopTurns(2)
        resolve(storage.getStore())
      })
    })
    a.send(1)
    expect(await done).toBe('created')
  })

  it('applies to messages that were read before the listener was added', async () => {
    const [a, b] = pairIn('created')
    a.send(1)
    a.send(2)
    await receiveValues(b, 1)
    const store = new Promise(resolve => {
      storage.run('elsewhere', () => b.on('message', () => resolve(storage.getStore())))
    })
    expect(await store).toBe('created')
  })

  it('applies to every event', async () => {
    const stores: Record<string, unknown> = {}
    const record = (channel: Channel, ...events: string[]) => {
      for (const event of events) {
        channel.on(event as 'close', () => {
          stores[event] = storage.getStore()
        })
      }
    }
    const [sender, receiver] = await storage.run('created', rawDgramPair)
    record(receiver, 'malformed')
    sender.send('no')
    sender.send('1')
    await receiveValues(receiver, 1)
    const [one, two] = await storage.run('created', async () => [
      track(await bind(null, { ...JSONCOMM, sendTimeout: 20 })),
      await boundChannel(),
    ])
    record(one, 'undelivered', 'drain', 'error', 'close')
    sendUntilQueued(one, { to: two.localAddress as string })
    await once(one, 'drain')
    one.destroy(new Error('fatal'))
    await new Promise<void>(resolve => one.once('close', resolve))
    const events = ['malformed', 'undelivered', 'drain', 'error', 'close']
    expect(stores).toEqual(Object.fromEntries(events.map(event => [event, 'created'])))
  })

  it("does not replace the caller's context after an await of receive or request", async () => {
    const [a, b] = pairIn('created')
    await storage.run('caller', async () => {
      a.send(1)
      await b.receive()
      expect(storage.getStore()).toBe('caller')
      const reply = b.request('?')
      a.send(2)
      await reply
      expect(storage.getStore()).toBe('caller')
    })
  })
})

describe('captureRejections', () => {
  it('destroys the channel with the reason if a listener rejects', async () => {
    const [a, b] = pairIn('created', { captureRejections: true })
    const fatal = new Error('mine')
    const seen: unknown[] = []
    b.on('message', async value => {
      seen.push(value)
      await loopTurns(1)
      throw fatal
    })
    const closed = new Promise<void>(resolve => b.once('close', resolve))
    const failed = new Promise(resolve => b.once('error', resolve))
    a.send(1)
    a.send(2)
    expect(await failed).toBe(fatal)
    await closed
    expect(seen).toEqual([1, 2])
    await expect(b.receive()).rejects.toBe(fatal)
  })

  it('is off by default: the process gets an unhandledRejection', async () => {
    const [a, b] = pairIn('created')
    const fatal = new Error('mine')
    const listeners = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    const unhandled = once(process, 'unhandledRejection')
    b.on('message', () => Promise.reject(fatal))
    a.send(1)
    expect((await unhandled)[0]).toBe(fatal)
    for (const listener of listeners) process.on('unhandledRejection', listener)
    expect(b.closed).toBe(false)
  })
})
