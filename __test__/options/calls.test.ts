import { closeSync } from 'node:fs'
import { adopt, bind, type Channel, connect, pair } from 'fdwire'
import { Socket } from 'fdwire/jsoncomm'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach } from '../support/processes.js'

cleanUpAfterEach()

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

describe.each(openers)('%s checks its options', (name, opener) => {
  it('and has some', async () => {
    const error = await refusal(opener, undefined)
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toContain(`${name} needs options with a protocol`)
  })

  it("and names one that doesn't exist, or is another function's", async () => {
    const wrong = name === 'connect' ? 'backlog' : 'localAddress'
    for (const option of ['nonsense', wrong]) {
      const error = await refusal(opener, { ...JSONCOMM, [option]: '' })
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain(`${name} has no option ${option}: `)
    }
  })

  it('and refuses what one can not be', async () => {
    expect(await refusal(opener, { ...JSONCOMM, maxFds: 254 })).toBeInstanceOf(RangeError)
  })

  it('and takes undefined for absent', async () => {
    const all = ['type', 'encoding', 'maxFds', 'mode', 'timeout', 'signal', 'localAddress', 'x']
    const none = Object.fromEntries(all.map(option => [option, undefined]))
    await opener({ ...none, ...JSONCOMM } as never)
  })
})

describe('the options of bind and connect', () => {
  const ways = openers.slice(0, 2)

  it.each(ways)('%s without a time limit', async (_, opener) => {
    await opener({ ...JSONCOMM, timeout: 0, signal: new AbortController().signal } as never)
  })

  it('localAddress is an address', async () => {
    for (const wrong of [3, {}, true]) {
      const { message } = await refusal(ways[1]?.[1] as never, { ...JSONCOMM, localAddress: wrong })
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
