/** fdwire/stockings with the original package in Python. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { type Channel, connect, listen } from 'fdwire'
import { EOFError, Stocking } from 'fdwire/stockings'
import { beforeAll, describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode } from '../../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../../support/processes.js'
import {
  destroyAfterTest,
  MIB,
  readNext,
  recordStockingEvents,
  STOCKINGS,
  type Value,
  whenStockingClosed,
} from '../../support/stockings.js'
import { runCleanupsAfterEach, waitUntil } from '../../support/streams.js'
import { pythonWithPeers } from '../../support/venv.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

type Role = 'client' | 'server' | 'server at a path'

describe('Stocking and the original', () => {
  const SIZES = [0, 1, 63, 64, 127, 128, 8_191, 8_192, 65_535, 65_536, MIB - 1, MIB]
  const KINDS = ['text', 'bytes'] as const

  // The first run on a machine installs the original, which takes longer than the timeout of a
  // test.
  beforeAll(() => void pythonWithPeers(), 300_000)

  /** Starts the original in its own process. */
  function startOriginal(): Peer {
    const { command, env } = pythonWithPeers()
    return new Peer(command, ['-B', testPath('support/peers/stockings.py')], { env })
  }

  class Greeting extends Stocking {
    remote: unknown
    readonly #id: string
    readonly #accepts: string | undefined
    constructor(channel: Channel<Value>, id: string, accepts?: string) {
      super(channel)
      this.#id = id
      this.#accepts = accepts
    }
    override async handshake() {
      this._write(this.#id)
      this.remote = await this._read()
      return this.#accepts === undefined || this.remote === this.#accepts
    }
  }

  /** Connects a Stocking to the original: as the client, or as the server on TCP or at a path. */
  async function connectOriginal(role: Role, ids = true, accepts = {}) {
    const peer = startOriginal()
    const handshake = ids ? { id: 'id1', ...accepts } : {}
    let channel: Channel<Value>
    if (role === 'client') {
      const { port } = await peer.request({ op: 'listen' })
      const accepted = peer.request({ op: 'accept', ...handshake })
      channel = await connect({ host: '127.0.0.1', port }, STOCKINGS)
      await accepted
    } else {
      const byPath = role === 'server at a path'
      const where = byPath ? join(temporaryDirectory(), 'socket') : { host: '127.0.0.1', port: 0 }
      const listener = await listen(where, STOCKINGS)
      const connection = once(listener, 'connection')
      const to = byPath ? { path: where } : { port: (listener.address as { port: number }).port }
      await peer.request({ op: 'connect', ...to, ...handshake })
      channel = (await connection)[0] as Channel<Value>
      await listener.close()
    }
    const stocking = destroyAfterTest(ids ? new Greeting(channel, 'id2') : new Stocking(channel))
    // The original reads nothing until the thread of its handshake has run.
    if (!ids) await peer.request({ op: 'ready' })
    return { peer, stocking }
  }

  function digest(value: Value) {
    const bytes = Buffer.from(value as string)
    return {
      kind: typeof value === 'string' ? 'text' : 'bytes',
      size: bytes.length,
      sha: createHash('sha256').update(bytes).digest('hex'),
    }
  }

  function message(kind: 'text' | 'bytes', size: number): Value {
    const bytes = Buffer.alloc(size)
    for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8)) % 251
    if (kind === 'bytes') return bytes
    return Buffer.from(bytes.map(byte => 32 + (byte % 95))).toString('latin1')
  }

  it.each(['client', 'server', 'server at a path'] as const)(
    'exchange ids and messages of all sizes, with fdwire as the %s',
    async role => {
      const { peer, stocking } = await connectOriginal(role)
      expect(await stocking.ready).toBe(true)
      expect((stocking as Greeting).remote).toBe('id1')
      const state = await peer.request({ op: 'ready' })
      expect(state).toEqual({ complete: true, active: true, remote: 'id2' })
      for (const kind of KINDS) {
        for (const size of SIZES) {
          // Neither side sends an empty message. One message at a time, because the original does
          // not write while it has unread input.
          const value = message(kind, size)
          stocking.write(value)
          if (size > 0) expect(await peer.request({ op: 'read' })).toEqual(digest(value))
          await peer.request({ op: 'write', kind, size })
          if (size > 0) expect(digest(await readNext(stocking))).toEqual(digest(value))
        }
      }
      stocking.write('naïve – 水 😀')
      expect(await peer.request({ op: 'read' })).toEqual(digest('naïve – 水 😀'))
      await peer.request({ op: 'write', kind: 'text', text: 'naïve – 水 😀' })
      expect(await readNext(stocking)).toBe('naïve – 水 😀')
      await stocking.close()
      expect(await peer.request({ op: 'read' })).toEqual({ eof: true })
    },
  )

  it('exchange empty messages with allowEmpty', async () => {
    const peer = startOriginal()
    const { port } = await peer.request({ op: 'listen' })
    const channel = await connect({ host: '127.0.0.1', port }, { ...STOCKINGS, allowEmpty: true })
    await peer.request({ op: 'accept' })
    const stocking = destroyAfterTest(new Stocking(channel))
    await Promise.all([stocking.ready, peer.request({ op: 'ready' })])
    stocking.write('')
    stocking.write(Buffer.alloc(0))
    expect(await peer.request({ op: 'read' })).toEqual(digest(''))
    expect(await peer.request({ op: 'read' })).toEqual(digest(Buffer.alloc(0)))
  })

  it('exchange many messages in order without a handshake, and end with EOFError', async () => {
    const { peer, stocking } = await connectOriginal('client', false)
    await stocking.ready
    const sizes = Array.from({ length: 50 }, (_, i) => 1 + i * 37)
    for (const size of sizes) stocking.write(message('bytes', size))
    for (const size of sizes) {
      expect(await peer.request({ op: 'read' })).toEqual(digest(message('bytes', size)))
    }
    const end = once(stocking, 'end')
    await peer.request({ op: 'close' })
    await end
    expect(() => stocking.read()).toThrow(EOFError)
  })

  it('end with EOFError if the handshake of the original returns false', async () => {
    const { peer, stocking } = await connectOriginal('client', true, { accepts: 'another id' })
    const closed = whenStockingClosed(stocking)
    await stocking.ready
    expect(await peer.request({ op: 'ready' })).toMatchObject({ complete: false, active: false })
    await closed
    expect(() => stocking.read()).toThrow(EOFError)
  })

  it('end with EOFError in the original if the handshake of fdwire returns false', async () => {
    const peer = startOriginal()
    const { port } = await peer.request({ op: 'listen' })
    const channel = await connect({ host: '127.0.0.1', port }, STOCKINGS)
    await peer.request({ op: 'accept', id: 'id1' })
    const stocking = destroyAfterTest(new Greeting(channel, 'id2', 'another id'))
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_HANDSHAKE'))
    // The original's own handshake completes only if it reads the id before the end.
    await peer.request({ op: 'ready' })
    expect([{ eof: true }, { notReady: true }]).toContainEqual(await peer.request({ op: 'read' }))
  })

  it('end with one EOFError if the original is killed within a message of 1 MiB', async () => {
    const { peer, stocking } = await connectOriginal('server', false)
    const closed = whenStockingClosed(stocking)
    await stocking.ready
    peer.send({ op: 'write', kind: 'bytes', size: MIB })
    await waitUntil(() => stocking.channel.stats.inHand > 0 || stocking.unread > 0)
    await peer.stop()
    const events = recordStockingEvents(stocking)
    // The kernel may deliver the rest of the message only now. The end follows once it is read.
    await waitUntil(() => {
      while (stocking.unread > 0) stocking.read()
      return stocking.channel.closed
    })
    await closed
    expect(() => stocking.read()).toThrow(EOFError)
    expect(events.filter(event => event === 'close').length).toBeLessThanOrEqual(1)
  })
})
