import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { join } from 'node:path'
import type { FdwireError } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  rawDgramPair,
  receiveValues,
  withFd,
} from '../support/channels.js'
import {
  cleanUpAfterEach,
  countOpenFds,
  nodePeer,
  pythonPeer,
  temporaryDirectory,
  waitForOpenFds,
} from '../support/processes.js'
import { closeAll, openNulls, rawAndJsonChannels } from '../support/raw-and-json.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

describe('a channel that receives malformed messages', () => {
  const cases: [string, Buffer, string, RegExp][] = [
    ['not JSON', Buffer.from('no json'), 'ERR_FDWIRE_NOT_JSON', /not JSON: .*no json/],
    ['incomplete JSON', Buffer.from('{"a":'), 'ERR_FDWIRE_NOT_JSON', /not JSON: /],
    ['invalid UTF-8', Buffer.from([0x22, 0xff, 0x22]), 'ERR_FDWIRE_NOT_UTF8', /not UTF-8/],
    ['an empty datagram', Buffer.alloc(0), 'ERR_FDWIRE_EMPTY_MESSAGE', /empty/],
    ['too many bytes', Buffer.alloc(101, '1'), 'ERR_FDWIRE_MESSAGE_TOO_LARGE', /maxMessage/],
    [
      'far too many bytes',
      Buffer.alloc(200_000, '1'),
      'ERR_FDWIRE_MESSAGE_TOO_LARGE',
      /maxMessage/,
    ],
  ]
  it.each(cases)(
    'emits an event, closes the descriptors and delivers the next message: %s',
    async (_, bytes, code, message) => {
      const { raw, json } = rawAndJsonChannels({ maxMessage: 100 })
      const errors: FdwireError[] = []
      json.on('malformed', (error, from) => {
        expect(from).toBe(undefined)
        errors.push(error)
      })
      const before = countOpenFds()
      const fds = openNulls(3)
      // The message comes with and without descriptors, alone and in a burst.
      for (const sent of [[], fds, fds]) raw.send(bytes, { fds: sent })
      raw.send('"next"')
      raw.send(bytes)
      raw.send('"last"')
      closeAll(fds)
      expect((await json.receive())?.value).toBe('next')
      expect((await json.receive())?.value).toBe('last')
      expect(errors.map(error => error.code)).toEqual(Array(4).fill(code))
      for (const error of errors) {
        expect([error.name, error.fault]).toEqual(['FdwireError', 'peer'])
        expect(error.message).toMatch(message)
        expect(error.sample).toEqual(bytes.subarray(0, 32))
      }
      expect(json.stats).toMatchObject({ malformed: 4, openFds: 0 })
      await waitForOpenFds(before)
    },
  )

  it('counts them as malformed and not as received', async () => {
    const { raw, json } = rawAndJsonChannels()
    for (const text of ['', '\xff', 'no json', '"good"']) raw.send(Buffer.from(text, 'latin1'))
    await json.receive()
    expect(json.stats).toMatchObject({ malformed: 3, received: 1, receivedBytes: 6 })
  })

  it('delivers a message of exactly maxMessage bytes', async () => {
    const { raw, json } = rawAndJsonChannels({ maxMessage: 100 })
    raw.send(`"${'x'.repeat(98)}"`)
    expect((await json.receive())?.value).toBe('x'.repeat(98))
  })

  it('closes all descriptors of a message with more than maxFds', async () => {
    const { raw, json } = rawAndJsonChannels({ maxFds: 2 })
    const errors: FdwireError[] = []
    json.on('malformed', error => errors.push(error))
    const before = countOpenFds()
    for (const count of [3, 253, 2]) {
      const fds = openNulls(count)
      raw.send(String(count), { fds })
      closeAll(fds)
    }
    const message = await json.receive()
    expect([message?.value, message?.fds.length]).toEqual([2, 2])
    message?.fds.close()
    expect(errors.map(error => error.code)).toEqual(Array(2).fill('ERR_FDWIRE_TOO_MANY_FDS'))
    expect(errors[0]).toMatchObject({ fault: 'peer', message: expect.stringContaining('maxFds') })
    await waitForOpenFds(before)
  })

  it('closes every descriptor if maxFds is 0', async () => {
    const { raw, json } = rawAndJsonChannels({ maxFds: 0 })
    const codes: string[] = []
    json.on('malformed', error => codes.push(error.code))
    const fds = openNulls(1)
    raw.send('1', { fds })
    raw.send('2')
    closeAll(fds)
    expect((await json.receive())?.value).toBe(2)
    expect(codes).toEqual(['ERR_FDWIRE_TOO_MANY_FDS'])
  })

  it('counts them without a listener and delivers the next message', async () => {
    const { raw, json } = rawAndJsonChannels()
    for (let i = 0; i < 50; i++) raw.send(i % 2 ? 'no json' : '')
    raw.send('"next"')
    expect((await json.receive())?.value).toBe('next')
    expect(json.stats.malformed).toBe(50)
  })

  it('rejects the request whose reply is malformed', async () => {
    const { raw, json } = rawAndJsonChannels()
    const [first, second] = [json.request(1), json.request(2)]
    raw.send('no json')
    raw.send('"answer"')
    await expect(first).rejects.toHaveProperty('code', 'ERR_FDWIRE_NOT_JSON')
    expect((await second).value).toBe('answer')
  })

  it('emits the events in order, with code, sample and sender', async () => {
    const [sender, receiver] = await rawDgramPair({ maxMessage: 100, maxFds: 1 })
    const events: unknown[] = []
    receiver.on('message', value => events.push(value))
    receiver.on('malformed', (error: FdwireError, from) => {
      expect(from).toBe(sender.localAddress)
      events.push([error.code, error.fault, error.sample?.toString('latin1')])
    })
    await withFd(fd => {
      sender.send('1')
      sender.send('{"no":')
      sender.send('')
      sender.send(Buffer.of(0x22, 0xff, 0x22))
      sender.send(`"${'x'.repeat(200)}"`)
      sender.send('2', { fds: [fd, fd] })
      sender.send('3')
    }, '/dev/full')
    while (events.length < 7) await loopTurns(1)
    expect(events).toEqual([
      1,
      ['ERR_FDWIRE_NOT_JSON', 'peer', '{"no":'],
      ['ERR_FDWIRE_EMPTY_MESSAGE', 'peer', ''],
      ['ERR_FDWIRE_NOT_UTF8', 'peer', '"\xff"'],
      ['ERR_FDWIRE_MESSAGE_TOO_LARGE', 'peer', `"${'x'.repeat(31)}`],
      ['ERR_FDWIRE_TOO_MANY_FDS', 'peer', '2'],
      3,
    ])
    expect(receiver.stats).toMatchObject({ received: 2, receivedBytes: 2, malformed: 5 })
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('closes the descriptors of a message that is not JSON', async () => {
    const [sender, receiver] = await rawDgramPair()
    await withFd(fd => sender.send('no', { fds: [fd, fd] }), '/dev/full')
    sender.send('1')
    expect(await receiveValues(receiver, 1)).toEqual([1])
    expect(countOpen('/dev/full')).toBe(0)
    expect(receiver.stats).toMatchObject({ received: 1, receivedFds: 0, malformed: 1, openFds: 0 })
  })

  it('publishes them on diagnostics_channel and counts them', async () => {
    const [sender, receiver] = await rawDgramPair()
    const published: unknown[] = []
    const subscriber = (message: unknown) => published.push(message)
    subscribe('fdwire:malformed', subscriber)
    sender.send('no')
    sender.send('1')
    expect(await receiveValues(receiver, 1)).toEqual([1])
    unsubscribe('fdwire:malformed', subscriber)
    expect(published).toMatchObject([
      { channel: receiver, error: { code: 'ERR_FDWIRE_NOT_JSON' }, from: sender.localAddress },
    ])
    expect(receiver.stats.malformed).toBe(1)
  })

  it('does not resolve receive() with them', async () => {
    const [sender, receiver] = await rawDgramPair()
    const received = receiver.receive()
    sender.send('no')
    await loopTurns(3)
    sender.send('1')
    expect((await received)?.value).toBe(1)
  })

  it('emits the events in order among messages that were read ahead', async () => {
    const [sender, receiver] = await rawDgramPair()
    for (const text of ['1', '2', 'no', '3']) sender.send(text)
    const malformed = once(receiver, 'malformed')
    expect(await receiveValues(receiver, 3)).toEqual([1, 2, 3])
    expect((await malformed)[0]).toEqual(errorWithCode('NOT_JSON'))
  })
})

describe('descriptors beyond RLIMIT_NOFILE', () => {
  it('make their message malformed, none stays open, and the next message arrives', async () => {
    const path = join(temporaryDirectory(), 's')
    const child = nodePeer({ limit: 64 })
    await child.request({ call: 'bind', path })
    expect(await child.request({ call: 'collect' })).toBe('ready')
    const peer = pythonPeer()
    await peer.request({ op: 'open', connect: Buffer.from(path).toString('hex') })
    const counts = [3, 100, 253, 3, 60]
    for (const count of counts) {
      await peer.request({ op: 'send', value: count, texts: Array(count).fill('x') })
    }
    await peer.request({ op: 'send', value: 'end' })
    const { received: got, leaked } = await child.receive()
    const lost = 'ERR_FDWIRE_FDS_TRUNCATED'
    expect(got).toEqual([[3, 3], lost, lost, [3, 3], lost, ['end', 0]])
    expect(leaked).toBe(0)
  })
})
