import { once } from 'node:events'
import { join } from 'node:path'
import { bind, type Channel, connect, pair } from 'fdwire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  countOpenFds,
  temporaryDirectory,
  waitForOpenFds,
} from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const channels: Channel[] = []
const track = (channel: Channel) => {
  channels.push(channel)
  return channel
}
/** Destroys a channel and waits until it has closed. */
const destroy = async (channel: Channel) => {
  channel.destroy()
  if (!channel.closed) await once(channel, 'close')
}
let fdsBefore: number
beforeEach(() => {
  fdsBefore = countOpenFds()
})
afterEach(async () => {
  await Promise.all(channels.splice(0).map(destroy))
  await waitForOpenFds(fdsBefore)
})

const bindReceiver = async (path: string) => track(await bind(path, JSONCOMM))

/** Sends numbers until one is queued, and returns how many. */
function sendUntilQueued(channel: Channel, to?: string): number {
  let n = 0
  while (channel.send(n++, to === undefined ? {} : { to }));
  return n
}

/** Receives `count` consecutive numbers that start with `first`. */
async function receiveNumbers(channel: Channel, first: number, count: number): Promise<void> {
  for (let n = first; n < first + count; n++) {
    expect((await channel.receive({ timeout: 5_000 }))?.value).toBe(n)
  }
}

/** Records a channel's drain and undelivered events, in order. */
function recordEvents(channel: Channel): unknown[][] {
  const events: unknown[][] = []
  channel.on('drain', to => events.push(['drain', to]))
  channel.on('undelivered', (error, { to }) =>
    events.push(['undelivered', (error as NodeJS.ErrnoException).code, to]),
  )
  return events
}

const errorOf = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    return error as NodeJS.ErrnoException
  }
  throw new Error('Nothing was thrown')
}

describe('the result of send', () => {
  it('is true until a message is queued, then false until the queue is empty and drain is emitted', async () => {
    const [sender, receiver] = pair(JSONCOMM).map(track) as [Channel, Channel]
    const events = recordEvents(sender)
    const sent = sendUntilQueued(sender)
    for (let n = sent; n < sent + 100; n++) expect(sender.send(n)).toBe(false)
    expect(sender.stats.queued).toBe(101)
    expect(events).toEqual([])
    await Promise.all([receiveNumbers(receiver, 0, sent + 100), once(sender, 'drain')])
    expect(events).toEqual([['drain', undefined]])
    expect(sender.stats).toMatchObject({ queued: 0, queuedBytes: 0, sent: sent + 100 })
    expect(sender.send('direct')).toBe(true)
  })

  it('is independent for each destination', async () => {
    const [full, free] = [join(temporaryDirectory(), 'full'), join(temporaryDirectory(), 'free')]
    const [one, other] = [await bindReceiver(full), await bindReceiver(free)]
    const sender = track(await bind(null, JSONCOMM))
    const events = recordEvents(sender)
    const sent = sendUntilQueued(sender, full)
    expect(sender.send(0, { to: free })).toBe(true)
    expect(sender.send(sent, { to: full })).toBe(false)
    const toFree = 1 + sendUntilQueued(sender, free)
    // The queue for the second destination drains while the queue for the first stays full.
    await Promise.all([
      once(sender, 'drain'),
      (async () => {
        expect((await other.receive())?.value).toBe(0)
        await receiveNumbers(other, 0, toFree - 1)
      })(),
    ])
    expect(events).toEqual([['drain', free]])
    await Promise.all([once(sender, 'drain'), receiveNumbers(one, 0, sent + 1)])
    expect(events).toEqual([
      ['drain', free],
      ['drain', full],
    ])
  })

  it('is false for a queued message whose descriptors the caller closes at once', async () => {
    const [sender, receiver] = pair(JSONCOMM).map(track) as [Channel, Channel]
    const sent = sendUntilQueued(sender)
    const { openSync, closeSync, readlinkSync } = await import('node:fs')
    for (let n = 0; n < 20; n++) {
      const fd = openSync('/proc/self/status', 'r')
      expect(sender.send(sent + n, { fds: [fd] })).toBe(false)
      closeSync(fd)
    }
    expect(sender.stats.queuedFds).toBe(20)
    await receiveNumbers(receiver, 0, sent)
    for (let n = 0; n < 20; n++) {
      const message = await receiver.receive({ timeout: 5_000 })
      expect(message?.value).toBe(sent + n)
      expect(readlinkSync(`/proc/self/fd/${message?.fds.get(0)}`)).toMatch(/\/status$/)
      message?.fds.close()
    }
  })
})

describe('the send queue', () => {
  it('is limited to maxQueued bytes per destination, but takes a larger message when it is empty', async () => {
    const [full, free] = [join(temporaryDirectory(), 'full'), join(temporaryDirectory(), 'free')]
    const one = await bindReceiver(full)
    await bindReceiver(free)
    // Each queued message counts 128 bytes more than it has.
    const sender = track(await bind(null, { ...JSONCOMM, maxQueued: 2 * 128 + 100 }))
    const sent = sendUntilQueued(sender, full)
    const refused = errorOf(() => sender.send('x'.repeat(100), { to: full }))
    expect(refused).toMatchObject({ code: 'ERR_FDWIRE_QUEUE_FULL', fault: 'caller' })
    expect(refused.message).toContain(full)
    expect(sender.stats.queued).toBe(1)
    expect(sender.send(sent, { to: full })).toBe(false)
    expect(sender.send('x'.repeat(1_000), { to: free })).toBe(true)
    await Promise.all([once(sender, 'drain'), receiveNumbers(one, 0, sent + 1)])
    let queued = true
    while (queued) queued = sender.send('x'.repeat(1_000), { to: full })
    expect(sender.stats.queuedBytes).toBe(1_002)
  })

  it('is limited to maxQueuedFds descriptors', async () => {
    const [sender, receiver] = pair({ ...JSONCOMM, maxQueuedFds: 2 }).map(track) as [
      Channel,
      Channel,
    ]
    sendUntilQueued(sender)
    expect(sender.send(1, { fds: [receiver.fd, receiver.fd] })).toBe(false)
    const refused = errorOf(() => sender.send(2, { fds: [receiver.fd] }))
    expect(refused.code).toBe('ERR_FDWIRE_QUEUE_FULL')
    expect(sender.stats.queuedFds).toBe(2)
  })

  it('drops its messages as undelivered after sendTimeout, and the channel stays usable', async () => {
    const [full, free] = [join(temporaryDirectory(), 'full'), join(temporaryDirectory(), 'free')]
    const one = await bindReceiver(full)
    const other = await bindReceiver(free)
    const sender = track(await bind(null, { ...JSONCOMM, sendTimeout: 50 }))
    const events = recordEvents(sender)
    const sent = sendUntilQueued(sender, full)
    for (let n = 0; n < 4; n++) sender.send('late', { to: full })
    await once(sender, 'drain')
    expect(events).toEqual([
      ...Array(5).fill(['undelivered', 'ERR_FDWIRE_UNDELIVERED', full]),
      ['drain', full],
    ])
    expect(sender.stats).toMatchObject({ undelivered: 5, queued: 0 })
    expect(sender.send(7, { to: free })).toBe(true)
    expect((await other.receive())?.value).toBe(7)
    await receiveNumbers(one, 0, sent - 1)
    expect(sender.send('after the timeout', { to: full })).toBe(true)
    expect((await one.receive())?.value).toBe('after the timeout')
  })
})

describe('flush', () => {
  it('resolves when everything sent before it has left the queue, not what was sent after', async () => {
    const [sender, receiver] = pair(JSONCOMM).map(track) as [Channel, Channel]
    await sender.flush()
    const sent = sendUntilQueued(sender)
    const flushed = sender.flush()
    for (let n = 0; n < 5_000; n++) sender.send(sent + n)
    await Promise.all([flushed, receiveNumbers(receiver, 0, sent)])
    expect(sender.stats.queued).toBeGreaterThan(0)
    await Promise.all([sender.flush(), receiveNumbers(receiver, sent, 5_000)])
    expect(sender.stats.queued).toBe(0)
  })

  it('rejects if a message sent before it is undelivered', async () => {
    const path = join(temporaryDirectory(), 'full')
    await bindReceiver(path)
    const sender = track(await bind(null, { ...JSONCOMM, sendTimeout: 50 }))
    sender.on('undelivered', () => {})
    sendUntilQueued(sender, path)
    await expect(sender.flush()).rejects.toMatchObject({ code: 'ERR_FDWIRE_UNDELIVERED' })
    await sender.flush()
  })
})

describe('send to a closed receiver', () => {
  it('fails with ECONNREFUSED each time, and the channel stays open', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const closed = await bindReceiver(path)
    const sender = track(await connect(path, JSONCOMM))
    expect(sender.send(1)).toBe(true)
    await destroy(closed)
    for (let n = 0; n < 3; n++) {
      expect(errorOf(() => sender.send(2))).toMatchObject({
        code: 'ECONNREFUSED',
        syscall: 'sendmsg',
      })
    }
    expect(sender.closed).toBe(false)
    expect(sender.stats).toMatchObject({ sent: 1, queued: 0 })
  })

  it('does not affect other destinations of an unconnected channel', async () => {
    const [dead, alive] = [join(temporaryDirectory(), 'dead'), join(temporaryDirectory(), 'alive')]
    const receiver = await bindReceiver(alive)
    const closed = await bindReceiver(dead)
    const sender = track(await bind(null, JSONCOMM))
    const events = recordEvents(sender)
    const sent = sendUntilQueued(sender, dead)
    sender.send(sent, { to: dead })
    const flushed = sender.flush()
    flushed.catch(() => {})
    await destroy(closed)
    await once(sender, 'drain')
    expect(events).toEqual([
      // The socket file is removed before the socket closes, so either error can come.
      ['undelivered', expect.stringMatching(/^E(CONNREFUSED|NOENT)$/), dead],
      ['undelivered', expect.stringMatching(/^E(CONNREFUSED|NOENT)$/), dead],
      ['drain', dead],
    ])
    await expect(flushed).rejects.toMatchObject({ syscall: 'sendmsg' })
    expect(errorOf(() => sender.send(0, { to: dead })).code).toBe('ENOENT')
    expect(sender.send(9, { to: alive })).toBe(true)
    expect((await receiver.receive())?.value).toBe(9)
  })
})

it('delivers messages that were sent before the first listener was added', async () => {
  const path = join(temporaryDirectory(), 'socket')
  const receiver = await bindReceiver(path)
  const sender = track(await connect(path, JSONCOMM))
  const sent = sendUntilQueued(sender)
  for (let n = 0; n < 500; n++) sender.send(sent + n)
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  expect(receiver.stats).toMatchObject({ received: 0, unread: 0 })
  const got: unknown[] = []
  receiver.on('message', value => got.push(value))
  await sender.flush()
  while (got.length < sent + 500) await new Promise(setImmediate)
  expect(got).toEqual(Array.from({ length: sent + 500 }, (_, n) => n))
})
