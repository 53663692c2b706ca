import { closeSync } from 'node:fs'
import { adopt, bind, type Channel, connect, pair } from 'fdwire'
import { Socket } from 'fdwire/jsoncomm'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const channels: Channel[] = []
afterEach(async () => {
  await Promise.all(channels.splice(0).map(channel => channel.close()))
})

/** Each function that makes a channel, called so that only its options can make it fail. */
const openers: [string, (options: never) => unknown][] = [
  ['bind', options => bind(null, options).then(track)],
  ['connect', options => bind(null, JSONCOMM).then(track).then(connectTo(options)).then(track)],
  ['pair', options => pair(options).map(track)],
  ['adopt', adoptHalf],
]
/** Adopts one half of a pair; closes its descriptor if `adopt` throws. */
function adoptHalf(options: never): Channel {
  const [a, b] = pair(JSONCOMM)
  track(b)
  const fd = a.detach()
  try {
    return track(adopt(fd, options))
  } catch (error) {
    closeSync(fd)
    throw error
  }
}
const track = (channel: Channel) => {
  channels.push(channel)
  return channel
}
const connectTo = (options: never) => (server: Channel) =>
  connect(server.localAddress as string, options)

/** Returns the error that an opener throws or rejects with. */
async function errorOf(opener: (options: never) => unknown, options: unknown): Promise<Error> {
  try {
    await opener(options as never)
  } catch (error) {
    return error as Error
  }
  throw new Error('The options were accepted')
}

describe.each(openers)('the options of %s', (name, opener) => {
  it('are required', async () => {
    const error = await errorOf(opener, undefined)
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain(`${name} needs options with a protocol`)
  })

  it('are rejected by name if unknown or of another function', async () => {
    const wrong = name === 'connect' ? 'backlog' : 'localAddress'
    for (const option of ['nonsense', wrong]) {
      const error = await errorOf(opener, { ...JSONCOMM, [option]: '' })
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain(`${name} has no option ${option}: `)
    }
  })

  it('are rejected if a value is out of range', async () => {
    expect(await errorOf(opener, { ...JSONCOMM, maxFds: 254 })).toBeInstanceOf(RangeError)
  })

  it('count as absent if undefined', async () => {
    const all = ['type', 'encoding', 'maxFds', 'mode', 'timeout', 'signal', 'localAddress', 'x']
    const none = Object.fromEntries(all.map(option => [option, undefined]))
    await opener({ ...none, ...JSONCOMM } as never)
  })
})

describe('the options of bind and connect', () => {
  const ways = openers.slice(0, 2)

  it.each(ways)('may include a timeout of 0 and a signal: %s', async (_, opener) => {
    await opener({ ...JSONCOMM, timeout: 0, signal: new AbortController().signal } as never)
  })

  it('are rejected if localAddress is not an address', async () => {
    for (const wrong of [3, {}, true]) {
      const { message } = await errorOf(ways[1]?.[1] as never, { ...JSONCOMM, localAddress: wrong })
      expect(message).toMatch(/^localAddress must be a path/)
    }
  })
})

describe('an unknown option of a call', () => {
  it('is rejected by name in send, sendAll, receive, request and close', async () => {
    const [a] = pair(JSONCOMM).map(track) as [Channel, Channel]
    const wrong = { destination: '/x' } as never
    expect(() => a.send(1, wrong)).toThrow(/^send has no option destination: it has fds, to and/)
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

  it('is rejected by name in send, recv and sendAndRecv of fdwire/jsoncomm', async () => {
    const [a, b] = Socket.newPair()
    const wrong = { to: '/x' } as never
    await expect(a.send(1, wrong)).rejects.toThrow(
      /^send has no option to: it has destination and fds$/,
    )
    await expect(a.sendAndRecv(1, wrong)).rejects.toThrow(
      /^sendAndRecv has no option to: it has dest/,
    )
    await expect(a.recv(wrong)).rejects.toThrow(/has no option to/)
    expect(a.channel.stats.sent).toBe(0)
    await Promise.all([a.close(), b.close()])
  })
})
