import { once } from 'node:events'
import { adopt, bind, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  connectTo,
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  isOpen,
  JSONCOMM,
  loopTurns,
  receiveValues,
  sendUntilQueued,
  track,
  withFd,
} from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { runClosingAndExit } from '../support/processes.js'

destroyChannelsAfterEach()

/** Records a channel's error and close events, in order. */
function recordEnd(channel: Channel): unknown[] {
  const events: unknown[] = []
  channel.on('error', error => events.push(error))
  channel.on('close', () => events.push('close'))
  return events
}

describe('close', () => {
  it('sends the queue before it closes the channel', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    for (let i = 0; i < 40; i++) sender.send(i)
    const closed = sender.close()
    expect(sender.closed).toBe(false)
    expect(await receiveValues(receiver, 40)).toEqual([...Array(40).keys()])
    await closed
    expect(sender.closed).toBe(true)
    expect(sender.stats).toMatchObject({ sent: 40, queued: 0 })
  })

  it('returns the same promise every time, and emits one event', async () => {
    const [a] = channelPair()
    const events = recordEnd(a)
    const first = a.close()
    expect(a.close()).toBe(first)
    expect(a.close({ timeout: 1 })).toBe(first)
    await first
    expect(a.close()).toBe(first)
    a.destroy()
    await loopTurns(3)
    expect(events).toEqual(['close'])
  })

  it('emits its event after the call returns, as do destroy and detach', async () => {
    for (const end of ['close', 'destroy', 'detach'] as const) {
      const [a] = channelPair()
      const events = recordEnd(a)
      const result = a[end]()
      expect(events).toEqual([])
      await loopTurns(2)
      expect(events).toEqual(['close'])
      if (end === 'detach') adopt(result as number, JSONCOMM).destroy()
    }
  })

  it('resolves after the event, even after destroy', async () => {
    const [a, b] = channelPair()
    const events = recordEnd(a)
    await a.close()
    expect(events).toEqual(['close'])
    const moreEvents = recordEnd(b)
    b.destroy()
    await b.close()
    expect(moreEvents).toEqual(['close'])
    await b.close()
  })

  it('is called by await using', async () => {
    let channel: Channel
    {
      await using used = channelPair()[0]
      channel = used
    }
    expect(channel.closed).toBe(true)
  })

  it('resolves receive() with null, rejects request() with CLOSED and ends an iteration', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [a] = channelPair()
      const waiting = [a.receive(), a.request(1), a.receive(), a[Symbol.asyncIterator]().next()]
      const settled = Promise.allSettled(waiting)
      await a[end]()
      expect(await settled).toEqual([
        { status: 'fulfilled', value: null },
        { status: 'rejected', reason: errorWithCode('CLOSED') },
        { status: 'fulfilled', value: null },
        { status: 'fulfilled', value: { done: true, value: undefined } },
      ])
    }
  })

  it('drops later messages and closes their descriptors if a listener calls it', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [a, b] = channelPair()
      const seen: unknown[] = []
      b.on('message', (value, fds) => {
        seen.push(value)
        fds.close()
        if (value === 2) b[end]()
      })
      const events = recordEnd(b)
      await withFd(fd => {
        for (let i = 0; i < 8; i++) a.send(i, { fds: [fd] })
      }, '/dev/full')
      while (events.length === 0) await loopTurns(1)
      expect(seen).toEqual([0, 1, 2])
      expect(countOpen('/dev/full')).toBe(0)
    }
  })

  it('drops messages that were read ahead and closes their descriptors', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [a, b] = channelPair()
      await withFd(fd => {
        for (let i = 0; i < 8; i++) a.send(i, { fds: [fd] })
      }, '/dev/full')
      await receiveValues(b, 1)
      expect(countOpen('/dev/full')).toBe(7)
      await b[end]()
      expect(countOpen('/dev/full')).toBe(0)
    }
  })

  it('delivers no message while it sends the queue', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sender.on('message', () => expect.unreachable())
    sender.on('drain', () => expect.unreachable())
    const sent = sendUntilQueued(sender)
    const closed = sender.close()
    receiver.send('too late', { to: sender.localAddress as string })
    await loopTurns(3)
    await receiveValues(receiver, sent)
    await closed
  })

  it('destroys the channel at its timeout and rejects with the number of unsent bytes', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sendUntilQueued(sender)
    sender.send('x'.repeat(98))
    const events = recordEnd(sender)
    const { queuedBytes } = sender.stats
    await expect(sender.close({ timeout: 20 })).rejects.toMatchObject({
      code: 'ERR_FDWIRE_TIMEOUT',
      unsent: queuedBytes,
    })
    expect(queuedBytes).toBeGreaterThan(100)
    expect([sender.closed, events]).toEqual([true, ['close']])
  })

  it('continues if a queued message is undelivered', async () => {
    const sender = track(await bind(null, JSONCOMM))
    const [closing, open] = [await boundChannel(), await boundChannel()]
    sendUntilQueued(sender, { to: closing.localAddress as string })
    const sent = sendUntilQueued(sender, { to: open.localAddress as string })
    const undelivered = once(sender, 'undelivered')
    const closed = sender.close()
    closing.destroy()
    await undelivered
    expect(sender.closed).toBe(false)
    await receiveValues(open, sent)
    await closed
  })

  it('is interrupted by destroy, with or without an error', async () => {
    const receiver = await boundChannel()
    for (const error of [undefined, new Error('fatal')]) {
      const sender = await connectTo(receiver)
      if (!error) sendUntilQueued(sender)
      else sender.send('queued')
      const [flushed, closed] = [sender.flush(), sender.close()]
      sender.destroy(error)
      await expect(flushed).rejects.toEqual(error ?? errorWithCode('CLOSED'))
      if (error) await expect(closed).rejects.toBe(error)
      else await closed
      expect(sender.closed).toBe(true)
    }
  })

  it('rejects invalid options', () => {
    const [a] = channelPair()
    for (const options of [{ timeout: -1 }, { timeout: 'x' }, { time: 1 }]) {
      expect(() => a.close(options as never)).toThrow(/time/)
    }
    expect(a.closed).toBe(false)
  })
})

describe('a channel after close', () => {
  it('throws or rejects with CLOSED from every method, also after destroy', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [a] = channelPair()
      await a[end]()
      expect(() => a.send(1)).toThrow(errorWithCode('CLOSED'))
      expect(() => a.sendAll([1])).toThrow(errorWithCode('CLOSED'))
      expect(() => a.sendAll([])).toThrow(errorWithCode('CLOSED'))
      for (const method of ['pause', 'resume', 'ref', 'unref', 'detach'] as const) {
        expect(() => a[method]()).toThrow(errorWithCode('CLOSED'))
      }
      await expect(a.receive()).rejects.toEqual(errorWithCode('CLOSED'))
      await expect(a.request(1)).rejects.toEqual(errorWithCode('CLOSED'))
      await expect(a.flush()).rejects.toEqual(errorWithCode('CLOSED'))
      expect([a.fd, a.localAddress, a.remoteAddress]).toEqual([-1, null, undefined])
    }
  })

  it('keeps its stats', async () => {
    const [a, b] = channelPair()
    a.send(1)
    await receiveValues(b, 1)
    await Promise.all([a.close(), b.close()])
    expect([a.stats.sent, b.stats.received]).toEqual([1, 1])
  })

  it('throws from send while close still sends the queue', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sendUntilQueued(sender)
    void sender.close()
    expect(() => sender.send(1)).toThrow(errorWithCode('CLOSED'))
    sender.destroy()
  })
})

describe('destroy with an error', () => {
  it('rejects pending and later promises, and then needs no error listener', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sendUntilQueued(sender)
    const waiting = [sender.receive(), sender.request(1), sender.flush()]
    const fatal = new Error('fatal')
    sender.destroy(fatal)
    for (const promise of waiting) await expect(promise).rejects.toBe(fatal)
    await loopTurns(2)
    for (const later of [sender.receive(), sender.request(1), sender.flush()]) {
      await expect(later).rejects.toBe(fatal)
    }
    await sender.close()
  })

  it('emits error before close if there is a listener, even if a promise is rejected', async () => {
    for (const pending of [false, true]) {
      const [a] = channelPair()
      const received = pending && a.receive().catch(error => error)
      const fatal = new Error('fatal')
      a.destroy(fatal)
      const events = recordEnd(a)
      await loopTurns(2)
      expect(events).toEqual([fatal, 'close'])
      if (pending) expect(await received).toBe(fatal)
    }
  })

  it('raises an uncaught exception if there is no listener and no pending promise', async () => {
    const { printed, code } = await runClosingAndExit('unhandled-error')
    expect([printed, code]).toEqual([['uncaught fatal', 'close'], 0])
  })

  it('takes effect once: later calls change nothing', async () => {
    const [a] = channelPair()
    const events = recordEnd(a)
    const fatal = new Error('first')
    a.destroy(fatal)
    a.destroy(new Error('second'))
    a.destroy()
    await loopTurns(2)
    expect(events).toEqual([fatal, 'close'])
  })
})

describe('detach', () => {
  it('returns the open descriptor of a quiet channel', async () => {
    const [a, b] = channelPair()
    a.send(1)
    const fd = b.detach()
    expect([isOpen(fd), b.closed, b.fd]).toEqual([true, true, -1])
    const adopted = track(adopt(fd, JSONCOMM))
    expect(await receiveValues(adopted, 1)).toEqual([1])
  })

  it('throws NOT_QUIET while a message is queued, read ahead or awaited', async () => {
    const [a, b] = channelPair()
    a.send(1)
    a.send(2)
    await receiveValues(b, 1)
    expect(() => b.detach()).toThrow(errorWithCode('NOT_QUIET'))
    await receiveValues(b, 1)
    const received = b.receive()
    expect(() => b.detach()).toThrow(errorWithCode('NOT_QUIET'))
    a.send(3)
    await received
    sendUntilQueued(a)
    expect(() => a.detach()).toThrow(errorWithCode('NOT_QUIET'))
    adopt(b.detach(), JSONCOMM).destroy()
  })

  it('throws NOT_QUIET in a listener while further messages are read ahead', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 3; i++) a.send(i)
    const seen: unknown[] = []
    b.on('message', value => {
      seen.push(value)
      if ((value as number) < 2) expect(() => b.detach()).toThrow(errorWithCode('NOT_QUIET'))
    })
    while (seen.length < 3) await loopTurns(1)
  })
})

describe('the descriptor of a channel', () => {
  it('is closed by close and destroy', async () => {
    const before = fdTargets().length
    const all = Array.from({ length: 20 }, () => pair(JSONCOMM)).flat()
    expect(fdTargets().length).toBe(before + 40)
    for (const [i, channel] of all.entries()) if (i % 2) channel.destroy()
    await Promise.all(all.map(channel => channel.close()))
    expect(fdTargets().length).toBe(before)
  })
})
