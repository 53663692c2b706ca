import { type EventEmitter, once } from 'node:events'
import { type FdSet, type From, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  connectTo,
  countOpen,
  destroyChannelsAfterEach,
  KERNEL_QUEUE_LENGTH,
  loopTurns,
  RAW_DGRAM,
  receiveValues,
  sendUntilQueued,
  track,
  withFd,
} from '../support/channels.js'
import { settledMemory } from '../support/memory.js'

destroyChannelsAfterEach()

/** Receives `count` messages with a listener, removes it and returns their values. */
function receiveByListener(channel: EventEmitter, count: number): Promise<unknown[]> {
  const values: unknown[] = []
  return new Promise(resolve => {
    const listener = (value: unknown, fds: FdSet) => {
      fds.close()
      if (values.push(value) < count) return
      channel.off('message', listener)
      resolve(values)
    }
    channel.on('message', listener)
  })
}

describe('messages without a consumer', () => {
  it('stay in the kernel', async () => {
    const receiver = await boundChannel()
    const first = await connectTo(receiver)
    for (let i = 0; i < KERNEL_QUEUE_LENGTH; i++) expect(first.send(i)).toBe(true)
    await loopTurns(5)
    // None was read, so there is no room for another sender's message.
    const second = await connectTo(receiver)
    expect(second.send('late')).toBe(false)
    expect(receiver.stats).toMatchObject({ received: 0, unread: 0 })
    expect(await receiveValues(receiver, KERNEL_QUEUE_LENGTH)).toEqual([
      ...Array(KERNEL_QUEUE_LENGTH).keys(),
    ])
    expect(await receiveValues(receiver, 1)).toEqual(['late'])
  })

  it('stay in the kernel after the last consumer was removed', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sender.send('first')
    expect(await receiveByListener(receiver, 1)).toEqual(['first'])
    // Read interest is removed lazily: this readiness event must not read anything.
    expect(sendUntilQueued(sender)).toBe(KERNEL_QUEUE_LENGTH + 1)
    await loopTurns(5)
    expect(receiver.stats).toMatchObject({ received: 1, unread: 0 })
  })

  it('stay in the kernel while the channel is paused', async () => {
    const receiver = await boundChannel()
    receiver.on('message', () => {})
    receiver.pause()
    const sender = await connectTo(receiver)
    expect(sendUntilQueued(sender)).toBe(KERNEL_QUEUE_LENGTH + 1)
    await loopTurns(5)
    expect(receiver.stats.received).toBe(0)
  })

  it('are not lost by an await between connect and the first listener', async () => {
    const server = await boundChannel()
    const client = await connectTo(server)
    client.send('hello')
    const { from } = (await server.receive()) as { from: From }
    for (let i = 0; i < 5; i++) server.send(i, { to: from as string })
    await loopTurns(5)
    expect(await receiveByListener(client, 5)).toEqual([0, 1, 2, 3, 4])
  })
})

describe('during a burst', () => {
  it('once() loses no message', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 100; i++) a.send(i)
    for (let i = 0; i < 50; i++) {
      // Every second call comes in a new turn of the loop.
      if (i % 2) await loopTurns(1)
      expect((await once(b, 'message'))[0]).toBe(i)
    }
    expect(await receiveValues(b, 50)).toEqual(Array.from({ length: 50 }, (_, i) => i + 50))
  })

  it('removing a listener keeps the remaining messages in order, with their descriptors', async () => {
    const [a, b] = channelPair()
    await withFd(fd => {
      for (let i = 0; i < 20; i++) a.send(i, i % 2 ? { fds: [fd] } : {})
    }, '/dev/full')
    expect(await receiveByListener(b, 5)).toEqual([0, 1, 2, 3, 4])
    expect(b.stats).toMatchObject({ unread: 15, openFds: 8 })
    // A later message is received after the kept ones.
    a.send(20)
    for (let i = 5; i <= 20; i++) {
      const message = await b.receive()
      expect([message?.value, message?.fds.length]).toEqual([i, i < 20 ? i % 2 : 0])
      message?.fds.close()
    }
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('removeAllListeners() keeps the remaining messages in order', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 5; i++) a.send(i)
    await new Promise<void>(resolve => {
      b.on('message', () => {
        b.removeAllListeners()
        resolve()
      })
    })
    expect(await receiveByListener(b, 4)).toEqual([1, 2, 3, 4])
  })

  it('pause() holds the next message, and resume() continues in order', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 10; i++) a.send(i)
    const seen: unknown[] = []
    const paused = new Promise<void>(resolve => {
      b.on('message', value => {
        seen.push(value)
        if (value !== 3) return
        b.pause()
        resolve()
      })
    })
    await paused
    await loopTurns(3)
    expect(seen).toEqual([0, 1, 2, 3])
    expect(b.isPaused()).toBe(true)
    a.send(10)
    b.resume()
    expect(seen).toEqual([0, 1, 2, 3])
    while (seen.length < 11) await loopTurns(1)
    expect(seen).toEqual([...Array(11).keys()])
  })

  it('receive() called by a listener gets the next message', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 4; i++) a.send(i)
    const seen: unknown[] = []
    const received: unknown[] = []
    b.on('message', value => {
      seen.push(value)
      if (value === 0) void b.receive().then(message => received.push(message?.value))
    })
    while (seen.length < 3) await loopTurns(1)
    expect([seen, received]).toEqual([[0, 2, 3], [1]])
  })

  it('a new listener gets the kept messages before new ones', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 4; i++) a.send(i)
    expect(await receiveValues(b, 1)).toEqual([0])
    a.send(4)
    expect(b.stats.unread).toBe(3)
    expect(await receiveByListener(b, 4)).toEqual([1, 2, 3, 4])
  })

  it('a listener is not called within on() or resume()', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 3; i++) a.send(i)
    expect(await receiveValues(b, 1)).toEqual([0])
    let seen = 0
    b.pause()
    b.on('message', () => void seen++)
    b.resume()
    const received = b.receive()
    expect(seen).toBe(0)
    expect((await received)?.value).toBe(1)
    while (seen < 1) await loopTurns(1)
  })

  it('an exception in a removeListener listener loses no message', async () => {
    const [a, b] = channelPair()
    const listener = () => {}
    b.on('message', listener)
    ;(b as EventEmitter).on('removeListener', () => {
      throw new Error('removed')
    })
    expect(() => b.off('message', listener)).toThrow('removed')
    ;(b as EventEmitter).removeAllListeners('removeListener')
    a.send(1)
    await loopTurns(3)
    expect(await receiveValues(b, 1)).toEqual([1])
  })
})

describe('maxOpenFds', () => {
  it('pauses the channel with one warning until some descriptors are closed', async () => {
    const [a, b] = channelPair({ maxOpenFds: 4 })
    const warned = once(process, 'warning')
    const sets: FdSet[] = []
    b.on('message', (_, fds) => sets.push(fds))
    await withFd(fd => {
      for (let i = 0; i < 10; i++) a.send(i, { fds: [fd] })
    }, '/dev/full')
    const [warning] = await warned
    expect(warning).toMatchObject({ name: 'FdwireWarning', code: 'FDWIRE_MAX_OPEN_FDS' })
    await loopTurns(3)
    expect([sets.length, b.stats.openFds]).toEqual([4, 4])
    for (let closed = 0; closed < 10; closed++) {
      while (sets.length <= closed) await loopTurns(1)
      sets[closed]?.close()
    }
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('causes no warning if every set is closed', async () => {
    const [a, b] = channelPair({ maxOpenFds: 4 })
    const warnings: unknown[] = []
    const listener = (warning: unknown) => warnings.push(warning)
    process.on('warning', listener)
    await withFd(fd => {
      for (let i = 0; i < 20; i++) a.send(i, { fds: [fd] })
    })
    expect(await receiveByListener(b, 20)).toHaveLength(20)
    await loopTurns(3)
    process.off('warning', listener)
    expect(warnings).toEqual([])
  })

  it('causes a warning for sets that are held later, even if an earlier turn reached the limit', async () => {
    const [a, b] = channelPair({ maxOpenFds: 4 })
    await withFd(fd => {
      for (let i = 0; i < 20; i++) a.send(i, { fds: [fd] })
    })
    await receiveByListener(b, 20)
    const warned = once(process, 'warning')
    const sets: FdSet[] = []
    b.on('message', (_, fds) => sets.push(fds))
    await withFd(fd => {
      for (let i = 0; i < 5; i++) a.send(i, { fds: [fd] })
    })
    expect((await warned)[0]).toMatchObject({ code: 'FDWIRE_MAX_OPEN_FDS' })
    for (let closed = 0; closed < 5; closed++) {
      while (sets.length <= closed) await loopTurns(1)
      sets[closed]?.close()
    }
  })

  it('causes no warning for descriptors that are only read ahead', async () => {
    const [a, b] = channelPair({ maxOpenFds: 8 })
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    await withFd(async fd => {
      for (let i = 0; i < 100; i++) a.send(i, { fds: [fd] })
      for (let i = 0; i < 100; i++) (await b.receive())?.fds.close()
    })
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
  })
})

describe('memory use', () => {
  it('stays bounded over 200,000 received messages', async () => {
    const [a, b] = channelPair()
    const [c, d] = pair(RAW_DGRAM).map(track) as [
      ReturnType<typeof track>,
      ReturnType<typeof track>,
    ]
    const value = { id: 1, text: 'x'.repeat(50) }
    let count = 0
    b.on('message', () => void count++)
    d.on('message', () => void count++)
    const run = async (messages: number) => {
      for (let sent = 0; sent < messages; sent += 100) {
        for (let i = 0; i < 50; i++) a.send(value)
        for (let i = 0; i < 50; i++) c.send('x'.repeat(50))
        await loopTurns(1)
      }
      while (count < messages) await loopTurns(1)
      count = 0
      return settledMemory()
    }
    await run(20_000)
    const before = await run(20_000)
    const after = await run(200_000)
    const growth = (what: 'heapUsed' | 'external' | 'arrayBuffers') => after[what] - before[what]
    expect(growth('heapUsed')).toBeLessThan(4 * 1024 * 1024)
    expect(growth('external')).toBeLessThan(4 * 1024 * 1024)
    expect(growth('arrayBuffers')).toBeLessThan(4 * 1024 * 1024)
  })
})
