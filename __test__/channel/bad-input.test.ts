import { join } from 'node:path'
import type { FdwireError } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  countOpenFds,
  Peer,
  pythonPeer,
  temporaryDirectory,
  testPath,
} from '../support/processes.js'
import { closeAll, openNulls, rawAndJsonChannels } from '../support/raw-and-json.js'

cleanUpAfterEach()

describe('what a peer sends wrong is a malformed event that says so, and the next message arrives', () => {
  const cases: [string, Buffer, string, RegExp][] = [
    ['no JSON', Buffer.from('no json'), 'ERR_FDWIRE_NOT_JSON', /not JSON: .*no json/],
    ['half of JSON', Buffer.from('{"a":'), 'ERR_FDWIRE_NOT_JSON', /not JSON: /],
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
  it.each(cases)('%s', async (_, bytes, code, message) => {
    const { raw, json } = rawAndJsonChannels({ maxMessage: 100 })
    const errors: FdwireError[] = []
    json.on('malformed', (error, from) => {
      expect(from).toBe(undefined)
      errors.push(error)
    })
    const before = countOpenFds()
    const fds = openNulls(3)
    // Its descriptors are closed, with or without any, alone and in a burst.
    for (const with_ of [[], fds, fds]) raw.send(bytes, { fds: with_ })
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
    expect(countOpenFds()).toBe(before)
  })

  it('is counted as malformed and not as received, whatever is wrong with it', async () => {
    const { raw, json } = rawAndJsonChannels()
    for (const text of ['', '\xff', 'no json', '"good"']) raw.send(Buffer.from(text, 'latin1'))
    await json.receive()
    expect(json.stats).toMatchObject({ malformed: 3, received: 1, receivedBytes: 6 })
  })

  it('exactly as many bytes as are allowed is no mistake', async () => {
    const { raw, json } = rawAndJsonChannels({ maxMessage: 100 })
    raw.send(`"${'x'.repeat(98)}"`)
    expect((await json.receive())?.value).toBe('x'.repeat(98))
  })

  it('more descriptors than allowed', async () => {
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
    expect(countOpenFds()).toBe(before)
  })

  it('any descriptor where none is allowed', async () => {
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

  it('is counted where nobody listens, and harms nobody', async () => {
    const { raw, json } = rawAndJsonChannels()
    for (let i = 0; i < 50; i++) raw.send(i % 2 ? 'no json' : '')
    raw.send('"next"')
    expect((await json.receive())?.value).toBe('next')
    expect(json.stats.malformed).toBe(50)
  })

  it('as a reply rejects the request whose turn it is', async () => {
    const { raw, json } = rawAndJsonChannels()
    const [first, second] = [json.request(1), json.request(2)]
    raw.send('no json')
    raw.send('"answer"')
    await expect(first).rejects.toHaveProperty('code', 'ERR_FDWIRE_NOT_JSON')
    expect((await second).value).toBe('answer')
  })
})

describe('descriptors that the kernel can not install, since RLIMIT_NOFILE is reached', () => {
  it('make the message malformed, none of them stays open, and the next message arrives', async () => {
    const path = join(temporaryDirectory(), 's')
    const command = `ulimit -n 64; exec ${process.execPath} ${testPath('support/children/server.mjs')} '{}'`
    const child = new Peer('bash', ['-c', command])
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
