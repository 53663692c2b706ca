/** The handshake of a Stocking. */
import type { Channel } from 'fdwire'
import { EOFError, NotReady, Stocking } from 'fdwire/stockings'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../../support/channels.js'
import {
  destroyAfterTest,
  rawPair,
  readNext,
  recordStockingEvents,
  STOCKINGS,
  type Value,
  whenStockingClosed,
} from '../../support/stockings.js'
import { rawStreamPair, runCleanupsAfterEach, waitUntil } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

describe('the handshake of a Stocking', () => {
  /** Returns a Stocking with this handshake, and the raw channel that it is connected to. */
  function withHandshake(handshake: (own: Stocking) => unknown, options?: object) {
    class WithHandshake extends Stocking {
      override handshake() {
        return handshake(this)
      }
    }
    const [bytes, channel] = rawStreamPair(STOCKINGS) as [Channel<Buffer>, Channel<Value>]
    const stocking = destroyAfterTest(new WithHandshake(channel, options))
    return { bytes, channel, stocking }
  }

  it('sends nothing by default and completes in a microtask', async () => {
    const [bytes, stocking] = rawPair()
    expect(() => stocking.read()).toThrow(NotReady)
    expect(() => stocking.write('x')).toThrow(errorWithCode('ERR_FDWIRE_HANDSHAKE'))
    expect([stocking.handshakeComplete, stocking.active]).toEqual([false, true])
    await Promise.resolve()
    expect(stocking.read()).toBe(null)
    expect(stocking.handshakeComplete).toBe(true)
    await stocking.close()
    expect((await bytes.receive())?.value).toBe(undefined)
  })

  it('leaves the messages that follow it for read', async () => {
    const { bytes, stocking } = withHandshake(own => own._read())
    const closed = whenStockingClosed(stocking)
    const events = recordStockingEvents(stocking)
    bytes.send(Buffer.from('83696431' + '8161', 'hex'))
    bytes.end()
    expect(await stocking.ready).toBe('id1')
    expect(stocking.handshakeComplete).toBe('id1')
    expect(await readNext(stocking)).toBe('a')
    await closed
    expect(events[0]).toBe('ready')
    expect(events.slice(-2)).toEqual(['end', 'close'])
  })

  it.each([
    ['returns false', () => false],
    ['resolves to undefined', async () => {}],
  ])('closes the connection after its last message if it %s', async (_, handshake) => {
    const { bytes, stocking } = withHandshake(own => {
      own._write('no')
      return handshake()
    })
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_HANDSHAKE'))
    expect((await bytes.receive())?.value).toEqual(Buffer.from('826e6f', 'hex'))
    expect(await bytes.receive()).toBe(null)
    expect(() => stocking.read()).toThrow(NotReady)
    expect(() => stocking.write('x')).toThrow(NotReady)
    expect(stocking.active).toBe(false)
  })

  it.each([
    ['throws', () => throwFailure()],
    ['rejects', async () => throwFailure()],
  ])('closes the connection and reports the error if it %s', async (_, handshake) => {
    const { bytes, stocking } = withHandshake(handshake)
    const events = recordStockingEvents(stocking)
    await expect(stocking.ready).rejects.toBe(FAILURE)
    expect(await bytes.receive()).toBe(null)
    expect(() => stocking.read()).toThrow(expect.objectContaining({ cause: FAILURE }))
    await waitUntil(() => events.includes('close'))
    expect(events).toEqual(['handshake failed', 'close'])
  })

  it('fails after handshakeTimeout, which also rejects its pending _read', async () => {
    let readError: unknown
    const { bytes, stocking } = withHandshake(
      own =>
        own._read().catch(error => {
          readError = error
        }),
      { handshakeTimeout: 20 },
    )
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    await loopTurns(1)
    expect(readError).toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    expect(await bytes.receive()).toBe(null)
    expect(stocking.active).toBe(false)
  })

  it('fails after handshakeTimeout even if the peer keeps sending bytes of one message', async () => {
    const { bytes, stocking } = withHandshake(own => own._read(), { handshakeTimeout: 50 })
    const drip = setInterval(() => {
      if (!bytes.closed) bytes.send(Buffer.from([0]))
    }, 5)
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    clearInterval(drip)
  })

  it('has no effect if it completes after handshakeTimeout', async () => {
    let finish: (value: unknown) => void = () => {}
    const { stocking } = withHandshake(() => new Promise(resolve => (finish = resolve)), {
      handshakeTimeout: 10,
    })
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    finish(true)
    await loopTurns(1)
    expect(stocking.handshakeComplete).toBe(false)
    expect(() => stocking.read()).toThrow(NotReady)
  })

  it('rejects ready and _read with EOFError if the peer disconnects', async () => {
    const { bytes, stocking } = withHandshake(own => own._read())
    bytes.destroy()
    await expect(stocking.ready).rejects.toEqual(expect.any(EOFError))
    await expect(stocking._read()).rejects.toEqual(expect.any(EOFError))
  })

  it('fails if it calls close()', async () => {
    const { bytes, stocking } = withHandshake(async own => {
      await own.close()
      return true
    })
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(stocking.handshakeComplete).toBe(false)
    expect(await bytes.receive()).toBe(null)
    await expect(stocking._read()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(() => stocking._write('x')).toThrow(errorWithCode('ERR_FDWIRE_CLOSED'))
  })

  it('does not start if the Stocking is destroyed first', async () => {
    let started = false
    const { stocking } = withHandshake(() => {
      started = true
    })
    stocking.destroy()
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(started).toBe(false)
  })

  it('causes no unhandled rejection if it fails and ready is not awaited', async () => {
    const unhandled: unknown[] = []
    const listener = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', listener)
    for (const handshake of [() => false, throwFailure, (own: Stocking) => own._read()]) {
      const { bytes, stocking } = withHandshake(handshake, { handshakeTimeout: 5 })
      bytes.resume()
      await whenStockingClosed(stocking)
    }
    await loopTurns(3)
    process.off('unhandledRejection', listener)
    expect(unhandled).toEqual([])
  })

  it('pauses the channel at maxUnread while it reads nothing', async () => {
    const { bytes, stocking } = withHandshake(() => new Promise(() => {}), { maxUnread: 1_000 })
    bytes.send(Buffer.from('826869'.repeat(100_000), 'hex'))
    await waitUntil(() => stocking.channel.isPaused())
    expect(stocking.unread).toBe(0)
    expect(stocking.channel.stats.queuedBytes).toBe(0)
  })
})

const FAILURE = new Error('handshake failed')

function throwFailure(): never {
  throw FAILURE
}
