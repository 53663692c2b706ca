import { closeSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bind } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { channelPair, destroyChannelsAfterEach, JSONCOMM } from '../support/channels.js'
import {
  cleanUpAfterEach,
  countOpenFds,
  pythonPeer,
  temporaryDirectory,
  waitForOpenFds,
} from '../support/processes.js'
import { closeAll, openChannels, openNulls, rawAndJsonChannels } from '../support/raw-and-json.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

describe('an invalid call', () => {
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  const UNENCODABLE = { name: 'FdwireError', code: 'ERR_FDWIRE_UNENCODABLE', fault: 'caller' }
  const values: [string, unknown, RegExp][] = [
    ['a BigInt', { n: 1n }, /BigInt/],
    ['a cycle', cycle, /circular/],
    ['undefined', undefined, /no undefined/],
    ['a function', () => {}, /no function/],
    ['a symbol', Symbol('x'), /no symbol/],
    ['a toJSON that returns undefined', { toJSON: () => undefined }, /JSON has no/],
    [
      'a toJSON that throws',
      {
        toJSON: () => {
          throw new Error('mine')
        },
      },
      /mine/,
    ],
  ]
  it.each(values)(
    'throws and sends nothing if the value cannot be encoded: %s',
    async (_, value, message) => {
      const { raw, json } = rawAndJsonChannels()
      const error = expect.objectContaining({
        ...UNENCODABLE,
        message: expect.stringMatching(message),
      })
      expect(() => json.send(value)).toThrow(error)
      expect(() => json.sendAll([1, value, 2])).toThrow(expect.objectContaining({ index: 1 }))
      await expect(json.request(value)).rejects.toEqual(error)
      expect(json.stats).toMatchObject({ sent: 0, queued: 0 })
      json.send('next')
      expect((await raw.receive())?.value.toString()).toBe('"next"')
    },
  )

  it('throws and sends nothing if the descriptors are too many, invalid or closed', async () => {
    const { raw, json } = rawAndJsonChannels()
    const before = countOpenFds()
    const fds = openNulls(254)
    const expectError = (list: unknown, expected: unknown) => {
      expect(() => json.send(1, { fds: list as number[] })).toThrow(expected as Error)
    }
    expectError(fds, expect.objectContaining({ code: 'ERR_FDWIRE_TOO_MANY_FDS', fault: 'caller' }))
    expectError(fds, /at most 253 descriptors \(maxFds\), not 254/)
    for (const number of [-1, 2 ** 31, 1.5]) expectError([number], RangeError)
    for (const invalid of ['0', null, 1n, {}, []]) expectError([invalid], TypeError)
    for (const list of [3, null, 'fds', {}]) expectError(list, TypeError)
    const closed = fds.pop() as number
    closeSync(closed)
    expectError([fds[0], closed], expect.objectContaining({ code: 'EBADF', syscall: 'sendmsg' }))
    expect(json.stats).toMatchObject({ sent: 0, queued: 0 })
    json.send('next', { fds })
    closeAll(fds)
    const message = await raw.receive()
    expect([message?.value.toString(), message?.fds.length]).toEqual(['"next"', 253])
    message?.fds.close()
    await waitForOpenFds(before)
  })

  it('throws for a lone surrogate in text, but not in JSON, where it is escaped', async () => {
    const { raw, json } = rawAndJsonChannels()
    json.send({ '\ud800': '\udfff' })
    expect((await raw.receive())?.value.toString()).toBe('{"\\ud800":"\\udfff"}')
    expect(() => raw.send('\ud800')).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_ILL_FORMED_TEXT' }),
    )
  })

  it('throws EMSGSIZE if the message exceeds the limit of the kernel, and the channel stays usable', async () => {
    const { raw, json } = rawAndJsonChannels()
    expect(() => json.send('x'.repeat(300_000))).toThrow(
      expect.objectContaining({ code: 'EMSGSIZE', syscall: 'sendmsg', errno: -90 }),
    )
    json.send('next')
    expect((await raw.receive())?.value.toString()).toBe('"next"')
  })

  it('fails with CLOSED on a closed channel, except for close, which returns the same promise', async () => {
    const { json } = rawAndJsonChannels()
    const closing = json.close()
    expect(json.close()).toBe(closing)
    const closed = expect.objectContaining({ code: 'ERR_FDWIRE_CLOSED', fault: 'caller' })
    for (const state of ['closing', 'closed']) {
      expect(() => json.send(state)).toThrow(closed)
      expect(() => json.sendAll([state])).toThrow(closed)
      await expect(json.receive()).rejects.toEqual(closed)
      await expect(json.request(state)).rejects.toEqual(closed)
      await expect(json.flush()).rejects.toEqual(closed)
      expect(() => json.detach()).toThrow(closed)
      await closing
    }
  })

  it('throws or rejects in every method if its options are not an object', async () => {
    const [a] = channelPair()
    for (const options of [5, null, 'x']) {
      const wrong = options as never
      expect(() => a.send(1, wrong)).toThrow(/options as an object/)
      await expect(a.receive(wrong)).rejects.toThrow(/options as an object/)
      await expect(a.request(1, wrong)).rejects.toThrow(/options as an object/)
      expect(() => a.close(wrong)).toThrow(/options as an object/)
    }
  })
})

describe('a destination without a receiver', () => {
  it('fails with an error that names it, and others stay reachable', async () => {
    const dir = temporaryDirectory()
    mkdirSync(join(dir, 'd'))
    writeFileSync(join(dir, 'file'), '')
    const [server, other] = [await bind(null, JSONCOMM), await bind(null, JSONCOMM)]
    openChannels.push(server, other)
    const dead = pythonPeer()
    const path = join(dir, 'dead')
    await dead.request({ op: 'open', bind: Buffer.from(path).toString('hex') })
    await dead.stop()
    const cases = [
      ['ECONNREFUSED', path, ': no process has a socket open at this address'],
      ['ECONNREFUSED', '\0fdwire-unbound', ': no process has a socket open at this address'],
      ['ENOENT', join(dir, 'missing'), ': no socket has this address'],
      ['ENOTDIR', join(dir, 'file/below'), ''],
      ['ECONNREFUSED', join(dir, 'file'), ': the file at this path is not a socket'],
    ] as const
    for (const [code, to, hint] of cases) {
      const shown = to.replace('\0', '@')
      const error = expect.objectContaining({
        code,
        message: `sendmsg ${code} -> ${shown}${hint}`,
        dest: to,
      })
      expect(() => server.send(1, { to })).toThrow(error)
      await expect(server.request(1, { to })).rejects.toEqual(error)
    }
    expect(() => server.send('without a destination')).toThrow(
      expect.objectContaining({ code: 'ENOTCONN' }),
    )
    server.send('still reachable', { to: other.localAddress as string })
    expect((await other.receive())?.value).toBe('still reachable')
  })
})
