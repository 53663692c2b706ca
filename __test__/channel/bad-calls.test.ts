import { closeSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bind } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { badPeer, closeAll, nulls, open } from '../support/bad-peer.js'
import { JSONCOMM } from '../support/channels.js'
import { directory, openFds, python, tidy } from '../support/processes.js'

tidy()

describe('what the caller does wrong is an error at the call, and nothing is sent', () => {
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  const UNENCODABLE = { name: 'FdwireError', code: 'ERR_FDWIRE_UNENCODABLE', fault: 'caller' }
  const values: [string, unknown, RegExp][] = [
    ['a BigInt', { n: 1n }, /BigInt/],
    ['a cycle', cycle, /circular/],
    ['undefined', undefined, /no undefined/],
    ['a function', () => {}, /no function/],
    ['a symbol', Symbol('x'), /no symbol/],
    ['a toJSON that gives nothing', { toJSON: () => undefined }, /JSON has no/],
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
  it.each(values)('a value: %s', async (_, value, message) => {
    const { bad, good } = badPeer()
    const error = expect.objectContaining({
      ...UNENCODABLE,
      message: expect.stringMatching(message),
    })
    expect(() => good.send(value)).toThrow(error)
    expect(() => good.sendAll([1, value, 2])).toThrow(expect.objectContaining({ index: 1 }))
    await expect(good.request(value)).rejects.toEqual(error)
    expect(good.stats).toMatchObject({ sent: 0, queued: 0 })
    good.send('next')
    expect((await bad.receive())?.value.toString()).toBe('"next"')
  })

  it('descriptors: 254, a negative one, a closed one, no number', async () => {
    const { bad, good } = badPeer()
    const before = openFds()
    const fds = nulls(254)
    const refused = (list: unknown, expected: unknown) => {
      expect(() => good.send(1, { fds: list as number[] })).toThrow(expected as Error)
    }
    refused(fds, expect.objectContaining({ code: 'ERR_FDWIRE_TOO_MANY_FDS', fault: 'caller' }))
    refused(fds, /at most 253 descriptors, not 254/)
    for (const number of [-1, 2 ** 31, 1.5]) refused([number], RangeError)
    for (const none of ['0', null, 1n, {}, []]) refused([none], TypeError)
    for (const list of [3, null, 'fds', {}]) refused(list, TypeError)
    const closed = fds.pop() as number
    closeSync(closed)
    refused([fds[0], closed], expect.objectContaining({ code: 'EBADF', syscall: 'sendmsg' }))
    expect(good.stats).toMatchObject({ sent: 0, queued: 0 })
    good.send('next', { fds })
    closeAll(fds)
    const message = await bad.receive()
    expect([message?.value.toString(), message?.fds.length]).toEqual(['"next"', 253])
    message?.fds.close()
    expect(openFds()).toBe(before)
  })

  it('a lone surrogate inside JSON is none: it travels as its escape', async () => {
    const { bad, good } = badPeer()
    good.send({ '\ud800': '\udfff' })
    expect((await bad.receive())?.value.toString()).toBe('{"\\ud800":"\\udfff"}')
    expect(() => bad.send('\ud800')).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_ILL_FORMED_TEXT' }),
    )
  })

  it('a message larger than the kernel takes: EMSGSIZE, and the channel stays usable', async () => {
    const { bad, good } = badPeer()
    expect(() => good.send('x'.repeat(300_000))).toThrow(
      expect.objectContaining({ code: 'EMSGSIZE', syscall: 'sendmsg', errno: -90 }),
    )
    good.send('next')
    expect((await bad.receive())?.value.toString()).toBe('"next"')
  })

  it('a call on a closed channel: ERR_FDWIRE_CLOSED; a second close is the same promise', async () => {
    const { good } = badPeer()
    const closing = good.close()
    expect(good.close()).toBe(closing)
    const closed = expect.objectContaining({ code: 'ERR_FDWIRE_CLOSED', fault: 'caller' })
    for (const state of ['closing', 'closed']) {
      expect(() => good.send(state)).toThrow(closed)
      expect(() => good.sendAll([state])).toThrow(closed)
      await expect(good.receive()).rejects.toEqual(closed)
      await expect(good.request(state)).rejects.toEqual(closed)
      await expect(good.flush()).rejects.toEqual(closed)
      expect(() => good.detach()).toThrow(closed)
      await closing
    }
  })
})

describe('a peer that is gone', () => {
  it('is ECONNREFUSED or ENOENT that names it, and others are still reached', async () => {
    const dir = directory()
    mkdirSync(join(dir, 'd'))
    writeFileSync(join(dir, 'file'), '')
    const [server, other] = [await bind('', JSONCOMM), await bind('', JSONCOMM)]
    open.push(server, other)
    const dead = python()
    const path = join(dir, 'dead')
    await dead.ask({ op: 'open', bind: Buffer.from(path).toString('hex') })
    await dead.stop()
    const cases = [
      ['ECONNREFUSED', path],
      ['ECONNREFUSED', '\0nobody has this name'],
      ['ENOENT', join(dir, 'missing')],
      ['ENOTDIR', join(dir, 'file/below')],
      ['ECONNREFUSED', join(dir, 'file')],
    ] as const
    for (const [code, to] of cases) {
      const shown = to.replace('\0', '@')
      const error = expect.objectContaining({
        code,
        message: `sendmsg ${code} -> ${shown}`,
        dest: to,
      })
      expect(() => server.send(1, { to })).toThrow(error)
      await expect(server.request(1, { to })).rejects.toEqual(error)
    }
    expect(() => server.send('to nobody named')).toThrow(
      expect.objectContaining({ code: 'ENOTCONN' }),
    )
    server.send('still here', { to: other.localAddress as string })
    expect((await other.receive())?.value).toBe('still here')
  })
})
