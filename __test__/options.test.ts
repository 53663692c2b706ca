import { closeSync } from 'node:fs'
import { adopt, bind, type Channel, connect, pair } from 'fdwire'
import { Socket } from 'fdwire/jsoncomm'
import { afterEach, describe, expect, it } from 'vitest'
import { tidy } from './children/talk.js'

tidy()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const open: Channel[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(channel => channel.close()))
})

/** Each function that makes a channel, on what it would succeed with but for its options. */
const openers: [string, (options: never) => unknown][] = [
  ['bind', options => bind('', options).then(keep)],
  ['connect', options => bind('', JSONCOMM).then(keep).then(to(options)).then(keep)],
  ['pair', options => pair(options).map(keep)],
  ['adopt', adoptOne],
]
/** What `adopt` refuses is still ours to close. */
function adoptOne(options: never): Channel {
  const [a, b] = pair(JSONCOMM)
  keep(b)
  const fd = a.detach()
  try {
    return keep(adopt(fd, options))
  } catch (error) {
    closeSync(fd)
    throw error
  }
}
const keep = (channel: Channel) => {
  open.push(channel)
  return channel
}
const to = (options: never) => (server: Channel) => connect(server.localAddress as string, options)

/** What an opener throws, at once or later. */
async function refusal(opener: (options: never) => unknown, options: unknown): Promise<Error> {
  try {
    await opener(options as never)
  } catch (error) {
    return error as Error
  }
  throw new Error('it was accepted')
}

const accepts = async (opener: (options: never) => unknown, options: unknown) => {
  await opener(options as never)
}

describe.each(openers)('%s', (name, opener) => {
  it.each([undefined, null, 'jsoncomm', 3])('needs options: %o', async options => {
    const error = await refusal(opener, options)
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain(`${name} needs options with a protocol`)
  })

  it.each([undefined, null, 'nonsense', 'toString', '__proto__', 7])(
    'needs a protocol: %o',
    async protocol => {
      const error = await refusal(opener, { protocol })
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(/^protocol must be 'jsoncomm' or 'raw', not /)
    },
  )

  it('names an option that does not exist, and those that do', async () => {
    const error = await refusal(opener, { ...JSONCOMM, maxMesage: 3 })
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toMatch(
      new RegExp(`^${name} has no option maxMesage: it has .*maxMessage`),
    )
  })

  it('finds one that is inherited, too', async () => {
    const error = await refusal(opener, Object.assign(Object.create({ nonsense: 1 }), JSONCOMM))
    expect(error.message).toContain(`${name} has no option nonsense`)
  })

  it.each([
    'backlog',
    'maxConnections',
    'allowPeer',
    'reusePort',
    'noDelay',
    'keepAlive',
    'allowHalfOpen',
  ])('says why %s is not for datagrams', async option => {
    const error = await refusal(opener, { ...JSONCOMM, [option]: 1 })
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toMatch(new RegExp(`^${name} has no option ${option}: .*datagram socket`))
  })

  it.each(['constructor', 'hasOwnProperty', 'toString'])('knows no option %s', async option => {
    const error = await refusal(opener, { ...JSONCOMM, [option]: 1 })
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain(`${name} has no option ${option}: it has `)
  })

  const NUMBERS = ['maxMessage', 'maxFds', 'maxOpenFds', 'highWaterMark', 'maxQueued']
  it.each([...NUMBERS, 'maxQueuedFds', 'sendTimeout'])('checks the number %s', async option => {
    for (const wrong of ['1', null, true, {}, [], 1n, () => 1, Symbol('x')]) {
      const error = await refusal(opener, { ...JSONCOMM, [option]: wrong })
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(new RegExp(`^${option} must be a number, not \\S`))
    }
    for (const wrong of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
      const error = await refusal(opener, { ...JSONCOMM, [option]: wrong })
      expect(error).toBeInstanceOf(RangeError)
      expect(error.message).toMatch(
        new RegExp(`^${option} must be an integer from \\d+ to \\d+, not ${wrong}$`),
      )
    }
  })

  it('has limits that the kernel has', async () => {
    await accepts(opener, { ...JSONCOMM, maxFds: 253 })
    expect((await refusal(opener, { ...JSONCOMM, maxFds: 254 })).message).toContain('0 to 253')
    expect(await refusal(opener, { ...JSONCOMM, maxMessage: 0 })).toBeInstanceOf(RangeError)
    expect(await refusal(opener, { ...JSONCOMM, maxOpenFds: 0 })).toBeInstanceOf(RangeError)
  })

  it.each(['allowRelative', 'captureRejections'])('checks that %s is a boolean', async option => {
    const error = await refusal(opener, { ...JSONCOMM, [option]: 1 })
    expect(error).toEqual(new TypeError(`${option} must be true or false, not 1`))
  })

  it.each([
    ['type', 'stream', "type of jsoncomm must be 'dgram', not 'stream'"],
    ['type', null, "type of jsoncomm must be 'dgram', not null"],
    ['encoding', 'buffer', "encoding of jsoncomm must be 'json', not 'buffer'"],
    ['encoding', null, "encoding of jsoncomm must be 'json', not null"],
  ])('checks %s: %o', async (option, value, message) => {
    expect(await refusal(opener, { ...JSONCOMM, [option]: value })).toEqual(new TypeError(message))
  })

  it('of raw needs a type', async () => {
    const error = await refusal(opener, { protocol: 'raw' })
    expect(error).toEqual(new TypeError(`${name} of raw needs a type: 'dgram'`))
    await accepts(opener, { protocol: 'raw', type: 'dgram', encoding: 'buffer' })
  })

  it('takes undefined for absent, everywhere', async () => {
    const all = ['type', 'encoding', ...NUMBERS, 'maxQueuedFds', 'sendTimeout', 'allowRelative']
    const others = ['captureRejections', 'mode', 'unlink', 'timeout', 'signal', 'localAddress', 'x']
    const none = Object.fromEntries([...all, ...others].map(option => [option, undefined]))
    await accepts(opener, { ...none, ...JSONCOMM })
  })
})

describe('an option of another function', () => {
  it.each([
    ['pair', 'mode', 'bind and connect'],
    ['adopt', 'unlink', 'bind and connect'],
    ['bind', 'localAddress', 'connect'],
    ['pair', 'timeout', 'bind and connect'],
    ['adopt', 'signal', 'bind and connect'],
  ])('%s has no option %s: %s has', async (name, option, owner) => {
    const opener = new Map(openers).get(name) as (options: never) => unknown
    const error = await refusal(opener, { ...JSONCOMM, [option]: 1 })
    expect(error).toEqual(new TypeError(`${name} has no option ${option}: that is one of ${owner}`))
  })
})

describe('the options of bind and connect', () => {
  const [bindTo, connectTo] = openers.map(([, opener]) => opener) as [
    (options: never) => unknown,
    (options: never) => unknown,
  ]

  it('timeout: 0 is none, a negative one is refused', async () => {
    for (const opener of [bindTo, connectTo]) {
      await accepts(opener, { ...JSONCOMM, timeout: 0 })
      expect(await refusal(opener, { ...JSONCOMM, timeout: -1 })).toBeInstanceOf(RangeError)
    }
  })

  it('signal is an AbortSignal', async () => {
    for (const opener of [bindTo, connectTo]) {
      await accepts(opener, { ...JSONCOMM, signal: new AbortController().signal })
      for (const wrong of [null, {}, new AbortController()]) {
        expect(await refusal(opener, { ...JSONCOMM, signal: wrong })).toBeInstanceOf(TypeError)
      }
    }
  })

  it('mode is nine bits, unlink one of three', async () => {
    expect(await refusal(bindTo, { ...JSONCOMM, mode: 0o1000 })).toBeInstanceOf(RangeError)
    expect(await refusal(bindTo, { ...JSONCOMM, mode: '0600' })).toBeInstanceOf(TypeError)
    for (const wrong of [true, null, 'never', 0]) {
      const { message } = await refusal(bindTo, { ...JSONCOMM, unlink: wrong })
      expect(message).toMatch(/^unlink must be 'stale' or 'always' or false, not /)
    }
  })

  it('localAddress is an address', async () => {
    for (const wrong of [3, {}, true]) {
      const { message } = await refusal(connectTo, { ...JSONCOMM, localAddress: wrong })
      expect(message).toMatch(/^localAddress must be a path/)
    }
  })
})

describe('an option of a call that does not exist is named', () => {
  it('by send, sendAll, receive, request and close', async () => {
    const [a] = pair(JSONCOMM).map(keep) as [Channel, Channel]
    const wrong = { destination: '/x' } as never
    expect(() => a.send(1, wrong)).toThrow(/^send has no option destination, only fds, to/)
    expect(() => a.sendAll([1], wrong)).toThrow(/has no option destination/)
    expect(() => a.sendAll([1], { fds: [] })).toThrow(/^sendAll has no option fds/)
    await expect(a.receive(wrong)).rejects.toThrow(/^receive has no option destination/)
    await expect(a.request(1, wrong)).rejects.toThrow(/has no option destination/)
    expect(() => a.close(wrong)).toThrow(/^close has no option destination/)
    for (const timeout of [-1, '5', Number.NaN, null]) {
      await expect(a.receive({ timeout: timeout as never })).rejects.toThrow(/^timeout must be/)
    }
    expect(a.stats.sent).toBe(0)
  })

  it('by send, recv and sendAndRecv of fdwire/jsoncomm', async () => {
    const [a, b] = Socket.newPair()
    const wrong = { to: '/x' } as never
    await expect(a.send(1, wrong)).rejects.toThrow(/^send has no option to, only destination, fds$/)
    await expect(a.sendAndRecv(1, wrong)).rejects.toThrow(
      /^sendAndRecv has no option to, only dest/,
    )
    await expect(a.recv(wrong)).rejects.toThrow(/has no option to/)
    expect(a.channel.stats.sent).toBe(0)
    await Promise.all([a.close(), b.close()])
  })
})
