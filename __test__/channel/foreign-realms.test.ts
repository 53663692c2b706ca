import { closeSync, openSync } from 'node:fs'
import { runInNewContext } from 'node:vm'
import { Codec, connect, FdSet, listen, pair, Reply } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'

destroyChannelsAfterEach()

// biome-ignore lint/suspicious/noExplicitAny: the types of the other context are not those of this one
type Foreign = any

/** Evaluates an expression in another context, whose built-ins are not those of this one. */
const foreign = (code: string, globals: object = {}): Foreign =>
  runInNewContext(`(${code})`, { ...globals })

const LENGTHS = { protocol: 'length_prefixed' } as const

function tracked<T extends ReturnType<typeof pair>>(channels: T): T {
  for (const channel of channels) track(channel as never)
  return channels
}

describe('values of another context', () => {
  it.each([
    ['Uint8Array', 'new Uint8Array([1, 2, 3, 255])', [1, 2, 3, 255]],
    ['a part of an ArrayBuffer', 'new Uint8Array([9, 1, 2, 9]).subarray(1, 3)', [1, 2]],
    ['Uint16Array', 'new Uint16Array([0x0201])', [1, 2]],
    ['DataView', 'new DataView(new Uint8Array([7, 8, 9]).buffer, 1)', [8, 9]],
    ['Float64Array', 'new Float64Array(1)', Array(8).fill(0)],
  ])('are sent as bytes: %s', async (_, code, bytes) => {
    const [a, b] = tracked(pair(LENGTHS))
    a.send(foreign(code))
    a.sendAll(foreign(`[${code}, ${code}]`))
    for (let i = 0; i < 3; i++) {
      expect(await b.receive()).toMatchObject({ value: Buffer.from(bytes) })
    }
    expect([...new Codec('length_prefixed').encode(foreign(code)).subarray(4)]).toEqual(bytes)
    expect(new Codec('raw').push(foreign(code))).toEqual([Buffer.from(bytes)])
  })

  it.each([
    ['array', '[1, [2, { a: null }], "ü"]', [1, [2, { a: null }], 'ü']],
    ['object', '({ a: { b: [1] } })', { a: { b: [1] } }],
    ['Date', 'new Date(0)', '1970-01-01T00:00:00.000Z'],
    ['String', 'new String("text")', 'text'],
    ['object with toJSON', '({ toJSON: () => "made" })', 'made'],
  ])('are sent as JSON: %s', async (_, code, value) => {
    const [a, b] = tracked(pair({ ...LENGTHS, encoding: 'json' }))
    a.send(foreign(code))
    a.sendAll(foreign(`[${code}]`))
    expect((await b.receive())?.value).toEqual(value)
    expect((await b.receive())?.value).toEqual(value)
  })

  it('are options, descriptors and sets of descriptors', async () => {
    const [a, b] = pair(foreign(`{ protocol: 'jsoncomm', maxFds: 4, encoding: 'json' }`)) as Foreign
    track(a)
    track(b)
    const fd = openSync('/dev/null', 'r')
    a.send(1, foreign('{ fds: [fd, { fd }] }', { fd }))
    const { value, fds } = await b.receive(foreign('{ timeout: 5000 }'))
    expect([value, fds.length]).toEqual([1, 2])
    const set = FdSet.from(foreign('[fd]', { fd }))
    a.send(2, foreign('{ fds: set }', { set }))
    const second = await b.receive()
    expect(second.fds.length).toBe(1)
    for (const one of [fds, second.fds]) one.close()
    set.close()
    expect(() => closeSync(fd)).toThrow(expect.objectContaining({ code: 'EBADF' }))
  })

  it('are errors: of destroy, of a handler and of an encoding', async () => {
    const error = foreign('new TypeError("of another context")')
    const [a, b] = tracked(pair({ protocol: 'lines' }))
    const emitted = new Promise(resolve => a.on('error', resolve))
    a.destroy(error)
    expect(await emitted).toBe(error)
    b.destroy()

    const [c, d] = tracked(pair({ protocol: 'lines' }))
    const seen: unknown[] = []
    d.serve(foreign('() => { throw error }', { error }), {
      onError: reason => {
        seen.push(reason)
        return 'failed'
      },
    })
    expect((await c.request('x')).value).toBe('failed')
    expect(seen).toEqual([error])

    const encoding = foreign('{ encode() { throw error }, decode() { throw error } }', { error })
    const [e] = tracked(pair({ ...LENGTHS, encoding }) as never) as Foreign
    expect(() => e.send('x')).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_UNENCODABLE', cause: error }),
    )
  })

  it('are functions and promises of a server, its replies and its peers', async () => {
    const listener = await listen(null, {
      protocol: 'lines',
      allowPeer: foreign('({ uid }) => uid === own', { own: process.getuid?.() }),
    })
    listener.serve(
      foreign('async text => text === "reply" ? reply : text', {
        reply: new Reply('with a reply'),
      }),
    )
    const client = track(await connect(listener.address as string, { protocol: 'lines' }))
    expect((await client.request('as it is')).value).toBe('as it is')
    expect((await client.request('reply')).value).toBe('with a reply')
    const match = foreign('({ value }) => value === "mine"')
    const mine = client.request('mine', { match })
    expect((await mine).value).toBe('mine')
    await listener.close()
  })

  it('are signals: whatever has their shape', async () => {
    const [a] = tracked(pair({ protocol: 'lines' }))
    const controller = foreign(`{
      signal: {
        aborted: false,
        reason: undefined,
        listeners: new Set(),
        addEventListener(type, listener) { this.listeners.add(listener) },
        removeEventListener(type, listener) { this.listeners.delete(listener) },
      },
      abort(reason) {
        Object.assign(this.signal, { aborted: true, reason })
        for (const listener of this.signal.listeners) {
          if (typeof listener === 'function') listener({ type: 'abort' })
          else listener.handleEvent({ type: 'abort' })
        }
      },
    }`)
    const waiting = a.receive({ signal: controller.signal })
    controller.abort('enough')
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError', cause: 'enough' })
    await expect(a.receive({ signal: controller.signal })).rejects.toMatchObject({
      name: 'AbortError',
    })
  })

  it('are refused with the same errors as others', () => {
    expect(() => pair(foreign('{ protocol: "lines", nonsense: 1 }'))).toThrow(/nonsense/)
    expect(() => pair(foreign('[]'))).toThrow(TypeError)
    const [a] = tracked(pair({ protocol: 'lines' }))
    expect(() => a.send(foreign('{}'))).toThrow(TypeError)
    expect(() => a.send(foreign('new Map()'))).toThrow(TypeError)
    expect(() => a.send('x', foreign('{ fds: {} }'))).toThrow(TypeError)
  })
})
