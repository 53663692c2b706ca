import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { bind } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { checkOptions } from '../../lib/options/check.js'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import { client, FAST, lost, reconnected } from '../support/reconnecting.js'
import { abstractName, runCleanupsAfterEach } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const FRAMES = { protocol: 'length_prefixed' } as const
const DGRAM = { protocol: 'raw', type: 'dgram' } as const

describe('reconnect of a datagram socket', () => {
  const ADDRESSES: [string, () => string][] = [
    ['a path', () => join(temporaryDirectory(), 's')],
    ['an abstract name', abstractName],
  ]

  it.each(ADDRESSES)('recovers when its peer binds %s again, without sending', async (_, make) => {
    const address = make()
    let server = track(await bind(address, DGRAM))
    const { channel } = await client(address, DGRAM)
    channel.on('message', () => {})
    for (let round = 0; round < 3; round++) {
      await lost(channel, () => server.destroy())
      await reconnected(channel, async () => {
        server = track(await bind(address, DGRAM))
      })
      channel.send(Buffer.from(`${round}`) as never)
      expect(String((await server.receive())?.value)).toBe(`${round}`)
    }
  })

  it.each(ADDRESSES)('queues what is sent to a peer at %s that has closed', async (_, make) => {
    const address = make()
    const server = track(await bind(address, DGRAM))
    const { channel } = await client(address, DGRAM)
    server.destroy()
    // The first send finds out that the peer has closed.
    expect(channel.send(Buffer.from('one') as never)).toBe(false)
    channel.send(Buffer.from('two') as never)
    const flushed = channel.flush()
    const next = track(await bind(address, DGRAM))
    const values = [await next.receive(), await next.receive()].map(one => String(one?.value))
    expect(values).toEqual(['one', 'two'])
    await flushed
  })

  it('drops what is queued with queue: refuse, and survives the timeout of these messages', async () => {
    const address = abstractName()
    // No program reads, so messages are queued.
    const server = track(await bind(address, DGRAM))
    const options = { ...DGRAM, sendTimeout: 50 }
    const { channel } = await client(address, options, { ...FAST, queue: 'refuse' })
    let undelivered = 0
    channel.on('undelivered', () => undelivered++)
    while (channel.send(Buffer.from('x') as never));
    const { queued } = channel.stats
    await lost(channel, () => server.destroy())
    expect([channel.stats.queued, undelivered]).toEqual([0, queued])
    await setTimeout(150)
    const next = track(await bind(address, DGRAM))
    await reconnected(channel, () => {})
    channel.send(Buffer.from('next') as never)
    expect([String((await next.receive())?.value), undelivered]).toEqual(['next', queued])
  })

  it('gets replies at its own path, and expires what waits too long', async () => {
    const [address, own] = [abstractName(), join(temporaryDirectory(), 'own')]
    const server = track(await bind(address, DGRAM))
    const options = { ...DGRAM, localAddress: own, sendTimeout: 50 }
    const { channel } = await client(address, options)
    server.destroy()
    channel.send(Buffer.from('late') as never)
    await once(channel, 'undelivered')
    const next = track(await bind(address, DGRAM))
    const reply = channel.request(Buffer.from('asked') as never)
    const message = await next.receive()
    expect([String(message?.value), message?.from]).toEqual(['asked', own])
    next.send(Buffer.from('answer'), { to: own })
    expect(String((await reply).value)).toBe('answer')
  })
})

describe('the option reconnect', () => {
  it('is an object with the known properties, on connect alone', () => {
    const check = (reconnect: unknown) => checkOptions('connect', { ...FRAMES, reconnect }, '/x')
    expect(check({}).reconnect).toEqual({
      minDelay: 100,
      maxDelay: 10_000,
      maxAttempts: 0,
      keepsQueue: true,
    })
    expect(check({ maxAttempts: Number.POSITIVE_INFINITY }).reconnect?.maxAttempts).toBe(0)
    for (const wrong of [true, 1, null, 'keep', { queue: 'drop' }, { delay: 1 }]) {
      expect(() => check(wrong)).toThrow(TypeError)
    }
    for (const wrong of [{ minDelay: 0 }, { minDelay: 5, maxDelay: 4 }, { maxAttempts: -1 }]) {
      expect(() => check(wrong)).toThrow(RangeError)
    }
    for (const opener of ['listen', 'pair', 'adopt', 'over', 'Codec'] as const) {
      expect(() => checkOptions(opener, { ...FRAMES, reconnect: {} })).toThrow(
        'it is an option of connect',
      )
    }
  })
})
