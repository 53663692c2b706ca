import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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
  KERNEL_QUEUE_LENGTH,
  loopTurns,
  receiveValues,
  sendUntilQueued,
  track,
  withFd,
} from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'

destroyChannelsAfterEach()

/** Runs a case of children/ends.mjs; what it printed, and how it ended. */
async function child(name: string): Promise<{ printed: unknown[]; code: number; stderr: string }> {
  const file = fileURLToPath(new URL('../support/children/ends.mjs', import.meta.url))
  const run = promisify(execFile)(process.execPath, [file, name], { timeout: 20_000 })
  const { stdout, stderr, code } = await run.then(
    output => ({ ...output, code: 0 }),
    error => error,
  )
  const lines = String(stdout).split('\n').filter(Boolean)
  return { printed: lines.map(line => JSON.parse(line)), code, stderr }
}

/** The events of a channel's end, in order. */
function ends(channel: Channel): unknown[] {
  const told: unknown[] = []
  channel.on('error', error => told.push(error))
  channel.on('close', () => told.push('close'))
  return told
}

describe('close', () => {
  it('sends what is queued first, then closes', async () => {
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

  it('gives the same promise every time, and one event', async () => {
    const [a] = channelPair()
    const told = ends(a)
    const first = a.close()
    expect(a.close()).toBe(first)
    expect(a.close({ timeout: 1 })).toBe(first)
    await first
    expect(a.close()).toBe(first)
    a.destroy()
    await loopTurns(3)
    expect(told).toEqual(['close'])
  })

  it('emits close last, and never inside a call of the user', async () => {
    for (const end of ['close', 'destroy', 'detach'] as const) {
      const [a] = channelPair()
      const told = ends(a)
      const result = a[end]()
      expect(told).toEqual([])
      await loopTurns(2)
      expect(told).toEqual(['close'])
      if (end === 'detach') adopt(result as number, JSONCOMM).destroy()
    }
  })

  it('resolves behind the event, also where destroy came before', async () => {
    const [a, b] = channelPair()
    const told = ends(a)
    await a.close()
    expect(told).toEqual(['close'])
    const more = ends(b)
    b.destroy()
    await b.close()
    expect(more).toEqual(['close'])
    await b.close()
  })

  it('is what await using does', async () => {
    let channel: Channel
    {
      await using used = channelPair()[0]
      channel = used
    }
    expect(channel.closed).toBe(true)
  })

  it('gives null to receive(), ERR_FDWIRE_CLOSED to request(), and ends an iteration', async () => {
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

  it('in a listener drops what is behind its message, and closes the descriptors', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [a, b] = channelPair()
      const seen: unknown[] = []
      b.on('message', (value, fds) => {
        seen.push(value)
        fds.close()
        if (value === 2) b[end]()
      })
      const told = ends(b)
      await withFd(fd => {
        for (let i = 0; i < 8; i++) a.send(i, { fds: [fd] })
      }, '/dev/full')
      while (told.length === 0) await loopTurns(1)
      expect(seen).toEqual([0, 1, 2])
      expect(countOpen('/dev/full')).toBe(0)
    }
  })

  it('drops what was read and nobody has taken, and closes the descriptors', async () => {
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

  it('delivers nothing any more while it sends the rest', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sender.on('message', () => expect.unreachable())
    sender.on('drain', () => expect.unreachable())
    const sent = sendUntilQueued(sender)
    const closed = sender.close()
    receiver.send('no more', { to: sender.localAddress as string })
    await loopTurns(3)
    await receiveValues(receiver, sent)
    await closed
  })

  it('at its timeout destroys, and rejects with how much was unsent', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sendUntilQueued(sender)
    sender.send('x'.repeat(98))
    const told = ends(sender)
    const { queuedBytes } = sender.stats
    await expect(sender.close({ timeout: 20 })).rejects.toMatchObject({
      code: 'ERR_FDWIRE_TIMEOUT',
      unsent: queuedBytes,
    })
    expect(queuedBytes).toBeGreaterThan(100)
    expect([sender.closed, told]).toEqual([true, ['close']])
  })

  it('goes on when a queued message is given up', async () => {
    const sender = track(await bind('', JSONCOMM))
    const [dies, lives] = [await boundChannel(), await boundChannel()]
    sendUntilQueued(sender, { to: dies.localAddress as string })
    const sent = sendUntilQueued(sender, { to: lives.localAddress as string })
    const undelivered = once(sender, 'undelivered')
    const closed = sender.close()
    dies.destroy()
    await undelivered
    expect(sender.closed).toBe(false)
    await receiveValues(lives, sent)
    await closed
  })

  it('is cut short by destroy, with or without an error', async () => {
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

  it('refuses options that are none', () => {
    const [a] = channelPair()
    for (const options of [{ timeout: -1 }, { timeout: 'x' }, { time: 1 }]) {
      expect(() => a.close(options as never)).toThrow(/time/)
    }
    expect(a.closed).toBe(false)
  })
})

describe('after the end', () => {
  it('every method throws ERR_FDWIRE_CLOSED or rejects with it', async () => {
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

  it('what was counted can still be read', async () => {
    const [a, b] = channelPair()
    a.send(1)
    await receiveValues(b, 1)
    await Promise.all([a.close(), b.close()])
    expect([a.stats.sent, b.stats.received]).toEqual([1, 1])
  })

  it('send already throws while close sends the rest', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    sendUntilQueued(sender)
    void sender.close()
    expect(() => sender.send(1)).toThrow(errorWithCode('CLOSED'))
    sender.destroy()
  })
})

describe('destroy with an error', () => {
  it('rejects every promise that waits, and is heard: no error event is needed', async () => {
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

  it('emits error before close where there is a listener, also beside a promise', async () => {
    for (const waits of [false, true]) {
      const [a] = channelPair()
      const received = waits && a.receive().catch(error => error)
      const fatal = new Error('fatal')
      a.destroy(fatal)
      const told = ends(a)
      await loopTurns(2)
      expect(told).toEqual([fatal, 'close'])
      if (waits) expect(await received).toBe(fatal)
    }
  })

  it('is an uncaught exception where nobody listens or waits', async () => {
    const { printed, code } = await child('unhandled-error')
    expect([printed, code]).toEqual([['uncaught fatal', 'close'], 0])
  })

  it('happens once: what comes later changes nothing', async () => {
    const [a] = channelPair()
    const told = ends(a)
    const fatal = new Error('first')
    a.destroy(fatal)
    a.destroy(new Error('second'))
    a.destroy()
    await loopTurns(2)
    expect(told).toEqual([fatal, 'close'])
  })
})

describe('detach', () => {
  it('gives the open descriptor of a quiet channel', async () => {
    const [a, b] = channelPair()
    a.send(1)
    const fd = b.detach()
    expect([isOpen(fd), b.closed, b.fd]).toEqual([true, true, -1])
    const adopted = track(adopt(fd, JSONCOMM))
    expect(await receiveValues(adopted, 1)).toEqual([1])
  })

  it('throws ERR_FDWIRE_NOT_QUIET while something is queued, kept or waited for', async () => {
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

  it('throws in a listener that has more messages behind its own', async () => {
    const [a, b] = channelPair()
    for (let i = 0; i < 3; i++) a.send(i)
    const seen: unknown[] = []
    b.on('message', value => {
      seen.push(value)
      if (value < 2) expect(() => b.detach()).toThrow(errorWithCode('NOT_QUIET'))
    })
    while (seen.length < 3) await loopTurns(1)
  })
})

describe('the process', () => {
  it('is kept alive by an open channel, whether it reads or not', async () => {
    expect(await child('open-channel')).toMatchObject({ printed: ['still here'], code: 0 })
  })

  it('ends when its channels are closed', async () => {
    expect(await child('closed-channels')).toMatchObject({ printed: ['end'], code: 0 })
  })

  it('ends when its channels are unref’d, whatever is queued, awaited or closing', async () => {
    const { printed, code } = await child('unref')
    // 13: an await at the top level that nothing could end.
    expect([printed, code]).toEqual([['end'], 13])
  })

  it('is kept alive again by ref', async () => {
    expect(await child('unref-then-ref')).toMatchObject({ printed: ['still here'], code: 0 })
  })

  it('tries to send what is queued when it exits, without waiting', async () => {
    const receiver = await boundChannel()
    const file = fileURLToPath(new URL('../support/children/ends.mjs', import.meta.url))
    const name = String(receiver.localAddress).slice(1)
    await promisify(execFile)(process.execPath, [file, 'exit-with-queue', name], {
      timeout: 20_000,
    })
    // Its queue was full when it sent the last, and it made room in the moment it exited.
    expect(await receiveValues(receiver, KERNEL_QUEUE_LENGTH)).toHaveLength(KERNEL_QUEUE_LENGTH)
  })

  it('may exit in the middle of a listener', async () => {
    expect(await child('exit-in-listener')).toMatchObject({ printed: [0], code: 7 })
  })

  it('loses nothing behind a listener that throws, and hears of it once', async () => {
    const { printed, code, stderr } = await child('throwing-listener')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const expected = Array.from({ length: 10 }, (_, i) => (i % 3 ? i : [i, `uncaught ${i}`])).flat()
    expect(printed).toEqual(['direct', ...expected, 'kept', ...expected, 0])
  })

  it('leaves nothing open behind a listener that ends the channel and throws', async () => {
    const { printed, code, stderr } = await child('listener-closes-and-throws')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(printed).toEqual(['uncaught', 0, 'uncaught', 0])
  })
})

describe('descriptors of channels', () => {
  it('are closed by close and destroy', async () => {
    const before = fdTargets().length
    const all = Array.from({ length: 20 }, () => pair(JSONCOMM)).flat()
    expect(fdTargets().length).toBe(before + 40)
    for (const [i, channel] of all.entries()) if (i % 2) channel.destroy()
    await Promise.all(all.map(channel => channel.close()))
    expect(fdTargets().length).toBe(before)
  })
})
