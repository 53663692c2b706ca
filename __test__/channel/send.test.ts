import { once } from 'node:events'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { bind, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  connectTo,
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  KERNEL_QUEUE_LENGTH,
  loopTurns,
  RAW_DGRAM,
  receiveValues,
  sendUntilQueued,
  track,
  withFd,
} from '../support/channels.js'

destroyChannelsAfterEach()

const rawPair = () => pair(RAW_DGRAM).map(one => track(one as Channel)) as [Channel, Channel]

describe('send', () => {
  it('copies a Buffer, so that it can be reused even if the message is queued', async () => {
    const [a, b] = rawPair()
    const buffer = Buffer.alloc(50_000, 1)
    let sent = 0
    let queued = 0
    while (queued < 5) {
      buffer.fill(++sent)
      if (!a.send(buffer)) queued++
    }
    buffer.fill(255)
    for (let i = 1; i <= sent; i++) {
      const bytes = (await b.receive())?.value as Buffer
      expect(bytes.equals(Buffer.alloc(50_000, i))).toBe(true)
    }
  })

  it('duplicates descriptors, so that they can be closed even if the message is queued', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    for (let i = 0; i < KERNEL_QUEUE_LENGTH + 5; i++) {
      const fd = openSync('/dev/full', 'r')
      sender.send(i, { fds: [fd] })
      closeSync(fd)
    }
    expect(sender.stats).toMatchObject({ queued: 5, queuedFds: 5 })
    expect(countOpen('/dev/full')).toBe(5)
    for (let i = 0; i < KERNEL_QUEUE_LENGTH + 5; i++) {
      const message = await receiver.receive()
      expect([message?.value, message?.fds.length]).toEqual([i, 1])
      message?.fds.close()
    }
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('returns false for a queued message, and one drain follows', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    let drains = 0
    sender.on('drain', to => {
      expect(to).toBe(undefined)
      drains++
    })
    for (let round = 1; round <= 3; round++) {
      const sent = sendUntilQueued(sender)
      expect(sender.send('more')).toBe(false)
      await receiveValues(receiver, sent + 1)
      while (drains < round) await loopTurns(1)
      await loopTurns(3)
      expect(drains).toBe(round)
      expect(sender.stats.queued).toBe(0)
    }
  })

  it('queues separately for each destination of an unconnected channel', async () => {
    const sender = track(await bind(null, JSONCOMM))
    const [full, free] = [await boundChannel(), await boundChannel()]
    const to = full.localAddress as string
    sendUntilQueued(sender, { to })
    for (let i = 0; i < 5; i++) {
      expect(sender.send(i, { to: free.localAddress as string })).toBe(true)
    }
    expect(await receiveValues(free, 5)).toEqual([0, 1, 2, 3, 4])
    const drained = once(sender, 'drain')
    await receiveValues(full, KERNEL_QUEUE_LENGTH + 1)
    expect(await drained).toEqual([to])
  })

  it('keeps the order of queued and later messages', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    const values: unknown[] = []
    let sent = 0
    const send = () => void sender.send(sent++)
    for (let i = 0; i < 100; i++) send()
    receiver.on('message', value => {
      values.push(value)
      if (sent < 1_000) send()
    })
    while (values.length < 1_000) await loopTurns(1)
    expect(values).toEqual([...Array(1_000).keys()])
  })

  it('queues nothing when it throws, and the channel stays usable', async () => {
    const [a, b] = channelPair({ maxFds: 2 })
    const cycle: unknown[] = []
    cycle.push(cycle)
    await withFd(fd => {
      const wrong: [unknown, object | undefined, unknown][] = [
        [undefined, undefined, errorWithCode('UNENCODABLE')],
        [() => {}, undefined, errorWithCode('UNENCODABLE')],
        [Symbol(), undefined, errorWithCode('UNENCODABLE')],
        [1n, undefined, errorWithCode('UNENCODABLE')],
        [cycle, undefined, errorWithCode('UNENCODABLE')],
        [{ toJSON: () => undefined }, undefined, errorWithCode('UNENCODABLE')],
        [1, { fds: [9_999] }, errorWithCode('EBADF')],
        [1, { fds: [fd, 9_999] }, errorWithCode('EBADF')],
        [1, { fds: [-1] }, expect.any(RangeError)],
        [1, { fds: fd }, expect.any(TypeError)],
        [1, { fds: [fd, fd, fd] }, errorWithCode('TOO_MANY_FDS')],
        [1, { to: '/tmp/x' }, errorWithCode('BAD_ADDRESS')],
        [1, { two: 1 }, expect.any(TypeError)],
        ['x'.repeat(300_000), undefined, errorWithCode('EMSGSIZE')],
      ]
      for (const [value, options, error] of wrong) {
        expect(() => a.send(value, options)).toThrow(error as Error)
        expect(a.stats).toMatchObject({ sent: 0, queued: 0, queuedBytes: 0, queuedFds: 0 })
      }
    })
    a.send('still here')
    expect(await receiveValues(b, 1)).toEqual(['still here'])
  })

  it('throws for an invalid or unreachable destination, and the channel stays usable', async () => {
    const sender = track(await bind(null, JSONCOMM))
    const receiver = await boundChannel()
    const closed = await boundChannel()
    const dead = closed.localAddress as string
    closed.destroy()
    const wrong: [unknown, unknown][] = [
      [undefined, expect.objectContaining({ syscall: 'sendmsg' })],
      [null, errorWithCode('BAD_ADDRESS')],
      ['', errorWithCode('BAD_ADDRESS')],
      [7, expect.any(TypeError)],
      [`/${'x'.repeat(108)}`, errorWithCode('BAD_ADDRESS')],
      [Buffer.alloc(200, 1), errorWithCode('BAD_ADDRESS')],
      ['/a\0b', errorWithCode('BAD_ADDRESS')],
      ['/\ud800', errorWithCode('ILL_FORMED_TEXT')],
      ['/missing/directory/socket', errorWithCode('ENOENT')],
      [dead, errorWithCode('ECONNREFUSED')],
    ]
    for (const [to, error] of wrong) {
      expect(() => sender.send(1, { to: to as string })).toThrow(error as Error)
      expect(() => sender.sendAll([1, 2], { to: to as string })).toThrow(error as Error)
    }
    expect(() => sender.send(1, { to: dead })).toThrow(
      expect.objectContaining({ dest: dead, errno: -111 }),
    )
    expect(sender.send(1, { to: receiver.localAddress as string })).toBe(true)
    expect(await receiveValues(receiver, 1)).toEqual([1])
  })

  it("throws for a relative path received as a sender's address, unless allowRelative is set", async () => {
    const server = track(await bind(null, JSONCOMM))
    const names = [
      `fdwire-rel-${process.pid}`,
      Buffer.from(`fdwire-rel-${process.pid}\xff`, 'latin1'),
    ]
    for (const name of names) {
      const client = track(await bind(name, JSONCOMM))
      client.send(1, { to: server.localAddress as string })
      const from = (await server.receive())?.from as string
      expect(from).toEqual(name)
      expect(() => server.send(2, { to: from })).toThrow(errorWithCode('BAD_ADDRESS'))
      server.send(2, { to: from, allowRelative: true })
      expect(await receiveValues(client, 1)).toEqual([2])
      await client.close()
    }
  })

  it('throws if the queue is full, but accepts one larger message into an empty queue', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver, { maxQueued: 3 * 128 + 100, maxQueuedFds: 3 })
    for (let i = 0; i < KERNEL_QUEUE_LENGTH; i++) sender.send(i)
    expect(sender.send('x'.repeat(1_000))).toBe(false)
    expect(() => sender.send(1)).toThrow(errorWithCode('QUEUE_FULL'))
    expect(sender.stats).toMatchObject({ queued: 1, queuedBytes: 1_002 })
    await receiveValues(receiver, KERNEL_QUEUE_LENGTH + 1)
    await sender.flush()
    await withFd(fd => {
      while (sender.send(1)) {}
      sender.send(2, { fds: [fd, fd, fd] })
      expect(() => sender.send(3, { fds: [fd] })).toThrow(errorWithCode('QUEUE_FULL'))
      sender.send(4)
    }, '/dev/full')
    for (let value: unknown; value !== 4; ) {
      const message = await receiver.receive()
      message?.fds.close()
      value = message?.value
    }
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('emits undelivered for a queued message that fails, and other destinations stay usable', async () => {
    const sender = track(await bind(null, JSONCOMM))
    const [closing, open] = [await boundChannel(), await boundChannel()]
    const [dead, to] = [closing.localAddress as string, open.localAddress as string]
    sendUntilQueued(sender, { to: dead })
    const undelivered = once(sender, 'undelivered')
    const flushed = sender.flush()
    closing.destroy()
    const [error, details] = await undelivered
    expect(error).toMatchObject({ code: 'ECONNREFUSED', syscall: 'sendmsg', dest: dead })
    expect(details).toEqual({ to: dead })
    await expect(flushed).rejects.toBe(error)
    expect(sender.stats).toMatchObject({ undelivered: 1, queued: 0 })
    sender.send(1, { to })
    expect(await receiveValues(open, 1)).toEqual([1])
  })

  it('is not affected by a getter among its fds that sends a message itself', async () => {
    const [a, b] = channelPair()
    await withFd(
      first =>
        withFd(
          second =>
            withFd(async inner => {
              const fds = [first, 0]
              const get = () => {
                a.send('inner', { fds: [inner] })
                return second
              }
              Object.defineProperty(fds, 1, { get })
              a.send('outer', { fds })
              const sentWithin = await b.receive()
              expect(sentWithin?.value).toBe('inner')
              sentWithin?.fds.close()
              const message = await b.receive()
              const devices = [...(message?.fds ?? [])].map(fd => fstatSync(fd).rdev)
              expect(devices).toEqual([first, second].map(fd => fstatSync(fd).rdev))
              message?.fds.close()
            }, '/dev/zero'),
          '/dev/full',
        ),
      '/dev/null',
    )
    b.destroy()
  })

  it("accepts a relative path received as a sender's address if it was a destination before", async () => {
    const relative = `relative-${process.pid}.sock`
    const server = track(await bind(relative, JSONCOMM))
    const client = track(await bind(null, JSONCOMM))
    server.on('message', (value, _, from) => server.send(value, { to: from as string }))
    for (let i = 0; i < 3; i++) {
      expect((await client.request(i, { to: relative })).value).toBe(i)
    }
    const other = track(await bind(`${relative}.2`, JSONCOMM))
    other.send('from a relative path', { to: client.localAddress as string })
    await once(client, 'message')
    expect(() => client.send('hello?', { to: `${relative}.2` })).toThrow(
      errorWithCode('BAD_ADDRESS'),
    )
  })
})

describe('flush', () => {
  it('resolves when the kernel has everything sent before it, not what was sent after', async () => {
    const receiver = await boundChannel()
    const sender = await connectTo(receiver)
    await sender.flush()
    sendUntilQueued(sender)
    let flushed = false
    const first = sender.flush().then(() => {
      flushed = true
    })
    for (let i = 0; i < 50; i++) sender.send('after')
    await loopTurns(5)
    expect(flushed).toBe(false)
    await receiveValues(receiver, 1)
    await first
    expect(sender.stats.queued).toBeGreaterThan(30)
    await Promise.all([sender.flush(), receiveValues(receiver, KERNEL_QUEUE_LENGTH + 50)])
    expect(sender.stats.queued).toBe(0)
  })
})
