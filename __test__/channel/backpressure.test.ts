import { once } from 'node:events'
import { join } from 'node:path'
import { bind, type Channel, connect, pair } from 'fdwire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, countOpenFds, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const open: Channel[] = []
const keep = (channel: Channel) => {
  open.push(channel)
  return channel
}
/** Closes a channel that may have something queued. */
const drop = async (channel: Channel) => {
  channel.destroy()
  if (!channel.closed) await once(channel, 'close')
}
let before: number
beforeEach(() => {
  before = countOpenFds()
})
afterEach(async () => {
  await Promise.all(open.splice(0).map(drop))
  expect(countOpenFds()).toBe(before)
})

const receiverAt = async (path: string) => keep(await bind(path, JSONCOMM))

/** Sends numbers until one is queued; how many were sent. */
function fill(channel: Channel, to?: string): number {
  let n = 0
  while (channel.send(n++, to === undefined ? {} : { to }));
  return n
}

/** Receives `count` numbers from `first` on. */
async function receiveNumbers(channel: Channel, first: number, count: number): Promise<void> {
  for (let n = first; n < first + count; n++) {
    expect((await channel.receive({ timeout: 5_000 }))?.value).toBe(n)
  }
}

/** What happens to a channel, in order. */
function log(channel: Channel): unknown[][] {
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
  throw new Error('nothing was thrown')
}

describe('send tells whether the kernel has the message', () => {
  it('true while it has, false once it is queued, drain once when the queue is empty', async () => {
    const [sender, receiver] = pair(JSONCOMM).map(keep) as [Channel, Channel]
    const events = log(sender)
    const sent = fill(sender)
    for (let n = sent; n < sent + 100; n++) expect(sender.send(n)).toBe(false)
    expect(sender.stats.queued).toBe(101)
    expect(events).toEqual([])
    await Promise.all([receiveNumbers(receiver, 0, sent + 100), once(sender, 'drain')])
    expect(events).toEqual([['drain', undefined]])
    expect(sender.stats).toMatchObject({ queued: 0, queuedBytes: 0, sent: sent + 100 })
    expect(sender.send('direct')).toBe(true)
  })

  it('for each destination by itself', async () => {
    const [full, free] = [join(temporaryDirectory(), 'full'), join(temporaryDirectory(), 'free')]
    const [one, other] = [await receiverAt(full), await receiverAt(free)]
    const sender = keep(await bind('', JSONCOMM))
    const events = log(sender)
    const sent = fill(sender, full)
    expect(sender.send(0, { to: free })).toBe(true)
    expect(sender.send(sent, { to: full })).toBe(false)
    const toFree = 1 + fill(sender, free)
    // The second drains, the first is as it was.
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

  it('with descriptors that the caller closes at once', async () => {
    const [sender, receiver] = pair(JSONCOMM).map(keep) as [Channel, Channel]
    const sent = fill(sender)
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

describe('a queue', () => {
  it('takes maxQueued bytes for a destination, and a larger message when it is empty', async () => {
    const [full, free] = [join(temporaryDirectory(), 'full'), join(temporaryDirectory(), 'free')]
    const one = await receiverAt(full)
    await receiverAt(free)
    const sender = keep(await bind('', { ...JSONCOMM, maxQueued: 100 }))
    const sent = fill(sender, full)
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

  it('takes maxQueuedFds descriptors', async () => {
    const [sender, receiver] = pair({ ...JSONCOMM, maxQueuedFds: 2 }).map(keep) as [
      Channel,
      Channel,
    ]
    fill(sender)
    expect(sender.send(1, { fds: [receiver.fd, receiver.fd] })).toBe(false)
    const refused = errorOf(() => sender.send(2, { fds: [receiver.fd] }))
    expect(refused.code).toBe('ERR_FDWIRE_QUEUE_FULL')
    expect(sender.stats.queuedFds).toBe(2)
  })

  it('gives its messages up after sendTimeout, and the channel goes on', async () => {
    const [full, free] = [join(temporaryDirectory(), 'full'), join(temporaryDirectory(), 'free')]
    const one = await receiverAt(full)
    const other = await receiverAt(free)
    const sender = keep(await bind('', { ...JSONCOMM, sendTimeout: 50 }))
    const events = log(sender)
    const sent = fill(sender, full)
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
    expect(sender.send('on', { to: full })).toBe(true)
    expect((await one.receive())?.value).toBe('on')
  })
})

describe('flush', () => {
  it('resolves when everything before it is gone, whatever comes after', async () => {
    const [sender, receiver] = pair(JSONCOMM).map(keep) as [Channel, Channel]
    await sender.flush()
    const sent = fill(sender)
    const flushed = sender.flush()
    for (let n = 0; n < 5_000; n++) sender.send(sent + n)
    await Promise.all([flushed, receiveNumbers(receiver, 0, sent)])
    expect(sender.stats.queued).toBeGreaterThan(0)
    await Promise.all([sender.flush(), receiveNumbers(receiver, sent, 5_000)])
    expect(sender.stats.queued).toBe(0)
  })

  it('rejects when one of them is given up', async () => {
    const path = join(temporaryDirectory(), 'full')
    await receiverAt(path)
    const sender = keep(await bind('', { ...JSONCOMM, sendTimeout: 50 }))
    sender.on('undelivered', () => {})
    fill(sender, path)
    await expect(sender.flush()).rejects.toMatchObject({ code: 'ERR_FDWIRE_UNDELIVERED' })
    await sender.flush()
  })
})

describe('a peer that is gone', () => {
  it('is ECONNREFUSED from send, each time, and the channel stays usable', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const gone = await receiverAt(path)
    const sender = keep(await connect(path, JSONCOMM))
    expect(sender.send(1)).toBe(true)
    await drop(gone)
    for (let n = 0; n < 3; n++) {
      expect(errorOf(() => sender.send(2))).toMatchObject({
        code: 'ECONNREFUSED',
        syscall: 'sendmsg',
      })
    }
    expect(sender.closed).toBe(false)
    expect(sender.stats).toMatchObject({ sent: 1, queued: 0 })
  })

  it('costs an unconnected channel nothing else', async () => {
    const [dead, alive] = [join(temporaryDirectory(), 'dead'), join(temporaryDirectory(), 'alive')]
    const receiver = await receiverAt(alive)
    const gone = await receiverAt(dead)
    const sender = keep(await bind('', JSONCOMM))
    const events = log(sender)
    const sent = fill(sender, dead)
    sender.send(sent, { to: dead })
    const flushed = sender.flush()
    flushed.catch(() => {})
    await drop(gone)
    await once(sender, 'drain')
    expect(events).toEqual([
      // Its name is removed before it closes, so whoever is quick hears of either.
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

it('messages sent before anyone listens arrive when someone does', async () => {
  const path = join(temporaryDirectory(), 'socket')
  const receiver = await receiverAt(path)
  const sender = keep(await connect(path, JSONCOMM))
  const sent = fill(sender)
  for (let n = 0; n < 500; n++) sender.send(sent + n)
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  expect(receiver.stats).toMatchObject({ received: 0, unread: 0 })
  const got: unknown[] = []
  receiver.on('message', value => got.push(value))
  await sender.flush()
  while (got.length < sent + 500) await new Promise(setImmediate)
  expect(got).toEqual(Array.from({ length: sent + 500 }, (_, n) => n))
})
