import { getEventListeners, once } from 'node:events'
import { connect, FdSet, listen, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  channelPair,
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../support/channels.js'

destroyChannelsAfterEach()

/** The signal of an AbortController polyfill: an EventTarget with `aborted`, not an AbortSignal. */
class PolyfillSignal extends EventTarget {
  aborted = false
  abort(): void {
    this.aborted = true
    this.dispatchEvent(new Event('abort'))
  }
}

const polyfillSignal = () => new PolyfillSignal() as PolyfillSignal & AbortSignal
const aborted = expect.objectContaining({ name: 'AbortError', code: 'ABORT_ERR' })

describe('a signal', () => {
  it('has one abort listener while any number of calls use it, and none afterwards', async () => {
    const abort = new AbortController()
    const { signal } = abort
    const listeners = () => getEventListeners(signal, 'abort').length
    const [client, server] = channelPair()
    server.on('message', value => server.send(value))
    const requests = Array.from({ length: 50 }, (_, i) => client.request(i, { signal }))
    const [other] = channelPair()
    const receives = Array.from({ length: 50 }, () => other.receive({ signal }))
    const settled = Promise.allSettled(receives)
    expect(listeners()).toBe(1)
    await Promise.all(requests)
    expect(listeners()).toBe(1)
    abort.abort('enough')
    for (const { status, reason } of (await settled) as PromiseRejectedResult[]) {
      expect([status, reason]).toEqual(['rejected', aborted])
      expect(reason.cause).toBe('enough')
    }
    expect(listeners()).toBe(0)
  })

  it('causes no warning if many calls use it, also if it is a polyfill', async () => {
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    const [channel] = channelPair()
    for (const signal of [new AbortController().signal, AbortSignal.timeout(5), polyfillSignal()]) {
      const waits = Array.from({ length: 20 }, () => channel.receive({ signal, timeout: 20 }))
      await Promise.allSettled(waits)
    }
    await loopTurns(2)
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
  })

  it('aborts an earlier call even after a later call has timed out', async () => {
    const abort = new AbortController()
    const [channel] = channelPair()
    const long = channel.receive({ signal: abort.signal })
    const short = channel.receive({ signal: abort.signal, timeout: 5 })
    await expect(short).rejects.toEqual(errorWithCode('TIMEOUT'))
    abort.abort()
    await expect(long).rejects.toEqual(aborted)
  })

  const UNRESOLVED = { host: 'host.invalid', port: 9 }
  const WAITS: [string, (signal: AbortSignal) => Promise<unknown>][] = [
    ['receive', signal => channelPair()[0].receive({ signal })],
    ['request', signal => channelPair()[0].request(1, { signal })],
    ['connect', signal => connect(UNRESOLVED, { protocol: 'lines', timeout: 0, signal })],
    ['listen', signal => listen(UNRESOLVED, { protocol: 'lines', timeout: 0, signal })],
  ]
  it.each(WAITS)('of a polyfill aborts %s', async (_, wait) => {
    const signal = polyfillSignal()
    const waiting = wait(signal)
    signal.abort()
    await expect(waiting).rejects.toEqual(aborted)
    await expect(wait(signal)).rejects.toEqual(aborted)
  })

  it('of a polyfill destroys a net.Socket', async () => {
    const [a, b] = pair({ protocol: 'raw', type: 'stream' }).map(track)
    const fds = FdSet.from([a?.detach() as number])
    const signal = polyfillSignal()
    const socket = fds.toSocket(0, { signal })
    signal.abort()
    const [error] = await once(socket, 'error')
    expect(error).toMatchObject({ name: 'AbortError' })
    b?.destroy()
  })
})
