/** What the vocabulary of stockings promises, against hostile peers and against the original. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import { type Channel, connect, FdwireError, listen, over, pair } from 'fdwire'
import { EOFError, NotReady, Stocking, type StockingOptions } from 'fdwire/stockings'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../../support/processes.js'
import {
  afterTest,
  nodeSocketPair,
  RAW_STREAM,
  rawStreamPair,
  runCleanupsAfterEach,
  waitUntil,
} from '../../support/streams.js'
import { pythonWithPeers } from '../../support/venv.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

type Value = string | Buffer
const STOCKINGS = { protocol: 'stockings' } as const
const MIB = 1024 * 1024

/** A subclass of any make, which ends with its test. */
function kept<S extends Stocking<unknown>>(stocking: S): S {
  afterTest(() => stocking.destroy())
  return stocking
}

/** Two that are connected with each other. */
function two(options?: StockingOptions): [Stocking, Stocking] {
  const [a, b] = pair(STOCKINGS).map(track) as [Channel<Value>, Channel<Value>]
  return [kept(new Stocking(a, options as object)), kept(new Stocking(b, options as object))]
}

/** A peer that writes any bytes, and who gets them. */
function raw(options?: object): [Channel<Buffer>, Stocking] {
  const [bytes, channel] = rawStreamPair(STOCKINGS)
  return [bytes, kept(new Stocking(channel as Channel<Value>, options))]
}

/** A peer that writes any bytes, and a channel for a subclass. */
const rawChannel = () => rawStreamPair(STOCKINGS) as [Channel<Buffer>, Channel<Value>]

/** What `read` gives, when it gives something. */
async function next<R>(stocking: Stocking<R>): Promise<R> {
  for (;;) {
    const value = stocking.read()
    if (value !== null) return value
    await loopTurns(1)
  }
}

/** All events with what they tell, in order. */
function eventsOf(stocking: Stocking<unknown>): unknown[] {
  const told: unknown[] = []
  for (const event of ['ready', 'readable', 'end', 'close'] as const) {
    stocking.on(event, () => told.push(event))
  }
  stocking.on('error', error => told.push((error as FdwireError).code ?? error.message))
  return told
}

/** Resolves at `'close'`, of which `once` would hear no more after an error. */
const closedOf = (stocking: Stocking<unknown>) =>
  new Promise<void>(resolve => stocking.on('close', resolve))

const eof = expect.any(EOFError)

describe('a message', () => {
  it('comes whole, as text or bytes, in order; null when there is nothing', async () => {
    const [a, b] = two()
    await Promise.all([a.ready, b.ready])
    expect(b.read()).toBe(null)
    for (const value of ['hi', Buffer.from('hi'), 'héllo', 'x'.repeat(300)]) a.write(value)
    expect(await next(b)).toBe('hi')
    expect(await next(b)).toEqual(Buffer.from('hi'))
    expect(await next(b)).toBe('héllo')
    expect(await next(b)).toBe('x'.repeat(300))
    expect(b.read()).toBe(null)
  })

  it('goes out to its last byte, however little the kernel has left of it', async () => {
    for (let size = 100_000; size < 2_000_000; size += 50_000) {
      const [a, b] = two()
      await a.ready
      a.write(Buffer.alloc(size))
      expect((await next(b)).length).toBe(size)
    }
  })

  it('that is empty is not sent without allowEmpty, and is delivered when it comes', async () => {
    const [bytes, stocking] = raw()
    await stocking.ready
    expect(stocking.write('') && stocking.write(Buffer.alloc(0))).toBe(true)
    stocking.write('hi')
    expect((await bytes.receive())?.value).toEqual(Buffer.from('826869', 'hex'))
    bytes.send(Buffer.from('80c0', 'hex'))
    expect(await next(stocking)).toBe('')
    expect(await next(stocking)).toEqual(Buffer.alloc(0))
    const [one, other] = pair(RAW_STREAM)
    track(one)
    const empty = kept(new Stocking(other.detach(), { allowEmpty: true }))
    await empty.ready
    empty.write('')
    empty.write(Buffer.alloc(0))
    await empty.close()
    expect((await one.receive())?.value).toEqual(Buffer.from('80c0', 'hex'))
  })

  it('comes whole byte by byte, and behind a header that is longer than it need be', async () => {
    const [bytes, stocking] = raw()
    await stocking.ready
    const wire = Buffer.from('826869' + 'c26869' + '01805a' + '050080' + '68656c6c6f' + '80', 'hex')
    for (const byte of wire) {
      bytes.send(Buffer.from([byte]))
      await loopTurns(1)
    }
    expect(await next(stocking)).toBe('hi')
    expect(await next(stocking)).toEqual(Buffer.from('hi'))
    expect(await next(stocking)).toBe('Z')
    expect(await next(stocking)).toBe('hello')
    expect(await next(stocking)).toBe('')
  })

  it('with bad UTF-8 is told as malformed and skipped, and the connection lives', async () => {
    const [bytes, stocking] = raw()
    const malformed = once(stocking, 'malformed')
    bytes.send(Buffer.from('82fffe826869', 'hex'))
    expect((await malformed)[0].code).toBe('ERR_FDWIRE_NOT_UTF8')
    expect(await next(stocking)).toBe('hi')
    expect(stocking.active).toBe(true)
  })

  it('goes through preWrite and postRead, which the handshake passes by', async () => {
    class Loud extends Stocking<string> {
      readonly own = 'fields exist in the handshake'
      heard: unknown
      override async handshake() {
        this._write(this.own)
        this.heard = await this._read()
        return this.heard
      }
      override preWrite(who: string, text: string) {
        return `${who}: ${text}`
      }
      override postRead(message: Value) {
        return `${message}!`
      }
    }
    const [a, b] = pair(STOCKINGS).map(one => kept(new Loud(track(one)))) as [Loud, Loud]
    await Promise.all([a.ready, b.ready])
    expect([a.heard, b.handshakeComplete]).toEqual([a.own, a.own])
    a.write('me', 'hi')
    expect(await next(b)).toBe('me: hi!')
  })

  it('of no kind of its own is refused, and nothing is sent', async () => {
    const [a] = two()
    await a.ready
    for (const wrong of [[5], [null], [['a']], []]) {
      expect(() => a.write(...wrong)).toThrow(TypeError)
    }
    expect(() => a.write('\ud800')).toThrow(errorWithCode('ERR_FDWIRE_ILL_FORMED_TEXT'))
    expect(a.active).toBe(true)
  })
})

describe('what it wraps', () => {
  it('is a channel, a descriptor, or a net.Socket', async () => {
    const [bytes, other] = pair(RAW_STREAM)
    track(bytes)
    const ofFd = kept(new Stocking(other.detach()))
    const [near, far] = await nodeSocketPair()
    const { remotePort, localPort } = near
    far.write(Buffer.from('826869', 'hex'))
    const ofSocket = kept(new Stocking(near, { maxMessage: 100 }))
    expect(ofSocket.addr).toEqual({ host: '127.0.0.1', port: remotePort })
    expect(localPort).toBe(far.remotePort)
    bytes.send(Buffer.from('826869', 'hex'))
    await Promise.all([ofFd.ready, ofSocket.ready])
    expect([await next(ofFd), await next(ofSocket)]).toEqual(['hi', 'hi'])
    expect(ofFd.fileno()).toBe(ofFd.channel.fd)
    expect(ofFd.sock).toBe(ofFd.channel)
    await ofFd.close()
    expect([ofFd.fileno(), ofFd.writeDataQueued(), ofFd.active]).toEqual([-1, false, false])
  })

  it('is a channel over any Duplex', async () => {
    const [near, far] = await nodeSocketPair()
    const stocking = kept(new Stocking(over(near, STOCKINGS)))
    far.write(Buffer.from('826869', 'hex'))
    await stocking.ready
    expect(await next(stocking)).toBe('hi')
  })

  it('is nothing else, and has no options that are not its own', () => {
    const [lines, other] = pair({ protocol: 'lines' })
    track(lines)
    track(other)
    expect(() => new Stocking(lines as never)).toThrow(/not one of lines/)
    const [a, b] = pair(STOCKINGS).map(track) as [Channel<Value>, Channel<Value>]
    expect(() => new Stocking(a, { maxMessage: 5 })).toThrow(/no option maxMessage/)
    expect(() => new Stocking(0, { protocol: 'lines' } as object)).toThrow(/no option protocol/)
    expect(() => new Stocking(b, { handshakeTimeout: -1 })).toThrow(RangeError)
    expect(() => new Stocking(b, { maxUnread: 0 })).toThrow(RangeError)
    a.destroy()
    expect(() => new Stocking(a)).toThrow(errorWithCode('ERR_FDWIRE_CLOSED'))
  })
})

describe('the end', () => {
  it('of the peer: what it sent is read, then there is EOFError, and writes go nowhere', async () => {
    const [bytes, stocking] = raw()
    const closed = closedOf(stocking)
    const told = eventsOf(stocking)
    bytes.send(Buffer.from('8171', 'hex'))
    await bytes.close()
    await waitUntil(() => stocking.channel.closed)
    await loopTurns(1)
    expect(stocking.active).toBe(false)
    expect(told).toEqual(['ready', 'readable'])
    expect(stocking.read()).toBe('q')
    expect(() => stocking.read()).toThrow(EOFError)
    expect(() => stocking.read()).toThrow(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(stocking.write('to nobody')).toBe(false)
    await closed
    expect(told).toEqual(['ready', 'readable', 'end', 'close'])
  })

  it('in the middle of a message is EOFError too, with why as its cause', async () => {
    const [bytes, stocking] = raw()
    bytes.send(Buffer.from('81718568', 'hex'))
    await bytes.close()
    await waitUntil(() => !stocking.active)
    expect(stocking.read()).toBe('q')
    const cause = expect.objectContaining({ code: 'ERR_FDWIRE_CUT_SHORT', missing: 4 })
    expect(() => stocking.read()).toThrow(expect.objectContaining({ name: 'EOFError', cause }))
  })

  it('of a peer that is killed in the middle of a message is told once, as error', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const listener = await listen(path, STOCKINGS)
    afterTest(() => listener.close())
    const accepted = once(listener, 'connection')
    const peer = new Peer(process.execPath, [
      '-e',
      `const s = require('net').connect(${JSON.stringify(path)}, () =>
         s.write(Buffer.from('8171' + 'ff' + '00', 'hex'), () => console.log('1')))`,
    ])
    const stocking = kept(new Stocking((await accepted)[0] as Channel<Value>))
    const told = eventsOf(stocking)
    await peer.receive()
    expect(await next(stocking)).toBe('q')
    await peer.stop()
    await waitUntil(() => told.includes('close'))
    expect(told).toEqual(['ready', 'readable', 'ERR_FDWIRE_CUT_SHORT', 'close'])
    expect(() => stocking.read()).toThrow(EOFError)
  })

  it('of a header that is too long, or a length over the limit, is an error', async () => {
    for (const [hex, code] of [
      ['00'.repeat(17), 'ERR_FDWIRE_BAD_HEADER'],
      [`${'7f'.repeat(8)}ff`, 'ERR_FDWIRE_MESSAGE_TOO_LARGE'],
    ] as const) {
      const [bytes, stocking] = raw()
      const errors: unknown[] = []
      stocking.on('error', error => errors.push((error as FdwireError).code))
      const closed = closedOf(stocking)
      bytes.send(Buffer.from(hex, 'hex'))
      await closed
      expect(errors).toEqual([code])
      bytes.destroy()
    }
  })

  it('by close() comes when all that was written is sent, though the peer reads late', async () => {
    const [bytes, stocking] = raw()
    await stocking.ready
    const big = Buffer.alloc(3 * MIB, 'x')
    expect(stocking.write(big)).toBe(false)
    expect(stocking.writeDataQueued()).toBe(true)
    const closing = stocking.close()
    expect(stocking.read()).toBe(null)
    expect(() => stocking.write('late')).toThrow(errorWithCode('ERR_FDWIRE_CLOSED'))
    let length = 0
    for await (const { value } of bytes) length += value.length
    await closing
    expect(length).toBe(3 * MIB + 4)
    expect(stocking.close()).toBe(stocking.close())
  })

  it('by destroy() drops what is queued, and close is the last event', async () => {
    const [bytes, stocking] = raw()
    const closed = closedOf(stocking)
    const told = eventsOf(stocking)
    await stocking.ready
    stocking.write(Buffer.alloc(3 * MIB, 'x'))
    bytes.send(Buffer.from('8171', 'hex'))
    await once(stocking, 'readable')
    stocking.destroy()
    expect(told).toEqual(['ready', 'readable'])
    expect(stocking.read()).toBe(null)
    await closed
    await loopTurns(2)
    expect(told).toEqual(['ready', 'readable', 'close'])
    let length = 0
    for await (const { value } of bytes) length += value.length
    expect(length).toBeLessThan(3 * MIB)
  })

  it('by a channel that somebody else closes is an end as well', async () => {
    const [bytes, stocking] = raw({ maxUnread: 1 })
    const closed = closedOf(stocking)
    bytes.send(Buffer.from('81718172', 'hex'))
    await once(stocking, 'readable')
    stocking.channel.destroy()
    expect(stocking.read()).toBe('q')
    await closed
    expect([stocking.active, stocking.read()]).toEqual([false, null])
  })
})

describe('unread messages', () => {
  it('are bounded: a peer that writes for ever is stopped, and all of it comes in order', async () => {
    const [a, b] = two({ maxUnread: 100_000 })
    await Promise.all([a.ready, b.ready])
    const body = 'x'.repeat(1_000)
    const COUNT = 5_000
    let sent = 0
    const writeOn = () => {
      while (sent < COUNT) if (!a.write(`${sent++} ${body}`)) return
    }
    a.on('drain', writeOn)
    writeOn()
    await waitUntil(() => b.channel.isPaused())
    await loopTurns(20)
    expect(b.unread).toBeLessThanOrEqual(Math.ceil(100_000 / 1_066))
    expect(a.writeDataQueued()).toBe(true)
    expect(sent).toBeLessThan(COUNT)
    for (let i = 0; i < COUNT; i++) {
      const value = await next(b)
      if (value !== `${i} ${body}`) expect(value).toBe(`${i} ${body}`)
    }
    expect(b.read()).toBe(null)
  })

  it('that are empty are bounded too', async () => {
    const [bytes, stocking] = raw({ maxUnread: 6_400 })
    bytes.send(Buffer.alloc(1_000, 0x80))
    await waitUntil(() => stocking.channel.isPaused())
    expect(stocking.unread).toBe(100)
    for (let i = 0; i < 1_000; i++) expect(await next(stocking)).toBe('')
  })

  it('do not keep anybody from writing', async () => {
    const [bytes, stocking] = raw({ maxUnread: 10 })
    bytes.send(Buffer.from('826869'.repeat(50_000), 'hex'))
    await waitUntil(() => stocking.channel.isPaused())
    stocking.write('out')
    expect((await bytes.receive())?.value).toEqual(Buffer.from('836f7574', 'hex'))
  })

  it('of a peer that never reads: write says false, then throws; nothing grows for ever', async () => {
    const [, stocking] = raw()
    await stocking.ready
    const writeOn = () => {
      for (let i = 0; i < 100; i++) stocking.write(Buffer.alloc(MIB))
    }
    expect(writeOn).toThrow(errorWithCode('ERR_FDWIRE_QUEUE_FULL'))
    expect(stocking.active).toBe(true)
    await expect(stocking.close({ timeout: 10 })).rejects.toEqual(
      errorWithCode('ERR_FDWIRE_TIMEOUT'),
    )
  })
})

describe('readable', () => {
  it('comes again while a listener reads, also for one that listens late', async () => {
    const [bytes, stocking] = raw()
    bytes.send(Buffer.from('816181628163', 'hex'))
    await waitUntil(() => stocking.unread === 3)
    const got: unknown[] = []
    stocking.on('readable', () => got.push(stocking.read()))
    await waitUntil(() => got.length === 3)
    bytes.send(Buffer.from('81648165', 'hex'))
    await waitUntil(() => got.length === 5)
    expect(got).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  it('does not go round and round where nobody reads', async () => {
    const [bytes, stocking] = raw()
    let times = 0
    stocking.on('readable', () => times++)
    bytes.send(Buffer.from('81618162', 'hex'))
    await waitUntil(() => stocking.unread === 2)
    await loopTurns(5)
    expect(times).toBe(2)
  })

  it('is not needed to iterate, which ends well, or throws what ends it', async () => {
    const [bytes, stocking] = raw()
    bytes.send(Buffer.from('81618162', 'hex'))
    bytes.end()
    const got: unknown[] = []
    for await (const value of stocking) got.push(value)
    expect(got).toEqual(['a', 'b'])
    const [others, cut] = raw()
    others.send(Buffer.from('816182', 'hex'))
    others.end()
    const iterate = async () => {
      for await (const value of cut) got.push(value)
    }
    await expect(iterate()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CUT_SHORT'))
    expect(got).toEqual(['a', 'b', 'a'])
    const [, closed] = raw()
    await closed.ready
    const waiting = closed[Symbol.asyncIterator]().next()
    await closed.close()
    expect(await waiting).toEqual({ done: true, value: undefined })
  })
})

describe('the handshake', () => {
  /** Runs a handshake over a raw peer. */
  function shaking(handshake: (own: Stocking) => unknown, options?: object) {
    class Shaking extends Stocking {
      override handshake() {
        return handshake(this)
      }
    }
    const [bytes, channel] = rawChannel()
    const stocking = kept(new Shaking(channel, options))
    return { bytes, channel, stocking }
  }

  it('of the class itself sends nothing, and is complete in a microtask', async () => {
    const [bytes, stocking] = raw()
    expect(() => stocking.read()).toThrow(NotReady)
    expect(() => stocking.write('x')).toThrow(errorWithCode('ERR_FDWIRE_HANDSHAKE'))
    expect([stocking.handshakeComplete, stocking.active]).toEqual([false, true])
    await Promise.resolve()
    expect(stocking.read()).toBe(null)
    expect(stocking.handshakeComplete).toBe(true)
    await stocking.close()
    expect((await bytes.receive())?.value).toBe(undefined)
  })

  it('keeps what comes behind it for read, which is not ready before', async () => {
    const { bytes, stocking } = shaking(own => own._read())
    const closed = closedOf(stocking)
    const told = eventsOf(stocking)
    bytes.send(Buffer.from('83696431' + '8161', 'hex'))
    bytes.end()
    expect(await stocking.ready).toBe('id1')
    expect(stocking.handshakeComplete).toBe('id1')
    expect(await next(stocking)).toBe('a')
    await closed
    expect(told[0]).toBe('ready')
    expect(told.slice(-2)).toEqual(['end', 'close'])
  })

  it.each([
    ['returns false', () => false],
    ['returns nothing', async () => {}],
  ])('that %s closes the connection when its words are sent', async (_, shake) => {
    const { bytes, stocking } = shaking(own => {
      own._write('no')
      return shake()
    })
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_HANDSHAKE'))
    expect((await bytes.receive())?.value).toEqual(Buffer.from('826e6f', 'hex'))
    expect(await bytes.receive()).toBe(null)
    expect(() => stocking.read()).toThrow(NotReady)
    expect(() => stocking.write('x')).toThrow(NotReady)
    expect(stocking.active).toBe(false)
  })

  it.each([
    ['at once', () => throwIt()],
    ['later', async () => throwIt()],
  ])('that throws %s closes the connection, with that reason', async (_, shake) => {
    const { bytes, stocking } = shaking(shake)
    const told = eventsOf(stocking)
    await expect(stocking.ready).rejects.toBe(WRONG)
    expect(await bytes.receive()).toBe(null)
    expect(() => stocking.read()).toThrow(expect.objectContaining({ cause: WRONG }))
    await waitUntil(() => told.includes('close'))
    expect(told).toEqual(['wrong', 'close'])
  })

  it('that nobody answers is given up after handshakeTimeout, and so is what it waits for', async () => {
    let inside: unknown
    const { bytes, stocking } = shaking(
      own =>
        own._read().catch(error => {
          inside = error
        }),
      { handshakeTimeout: 20 },
    )
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    await loopTurns(1)
    expect(inside).toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    expect(await bytes.receive()).toBe(null)
    expect(stocking.active).toBe(false)
  })

  it('is given up though the peer drips bytes of a message that never ends', async () => {
    const { bytes, stocking } = shaking(own => own._read(), { handshakeTimeout: 50 })
    const drip = setInterval(() => {
      if (!bytes.closed) bytes.send(Buffer.from([0]))
    }, 5)
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    clearInterval(drip)
  })

  it('that comes too late is nothing any more', async () => {
    let finish: (value: unknown) => void = () => {}
    const { stocking } = shaking(() => new Promise(resolve => (finish = resolve)), {
      handshakeTimeout: 10,
    })
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_TIMEOUT'))
    finish(true)
    await loopTurns(1)
    expect(stocking.handshakeComplete).toBe(false)
    expect(() => stocking.read()).toThrow(NotReady)
  })

  it('of a peer that goes away is EOFError for _read, and for who waits for it', async () => {
    const { bytes, stocking } = shaking(own => own._read())
    bytes.destroy()
    await expect(stocking.ready).rejects.toEqual(eof)
    await expect(stocking._read()).rejects.toEqual(eof)
  })

  it('in which it is closed has failed', async () => {
    const { bytes, stocking } = shaking(async own => {
      await own.close()
      return true
    })
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(stocking.handshakeComplete).toBe(false)
    expect(await bytes.receive()).toBe(null)
    await expect(stocking._read()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(() => stocking._write('x')).toThrow(errorWithCode('ERR_FDWIRE_CLOSED'))
  })

  it('does not begin where it is closed before', async () => {
    let began = false
    const { stocking } = shaking(() => {
      began = true
    })
    stocking.destroy()
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_CLOSED'))
    expect(began).toBe(false)
  })

  it('whose failure nobody looks at troubles nobody', async () => {
    const unhandled: unknown[] = []
    const listener = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', listener)
    for (const shake of [() => false, throwIt, (own: Stocking) => own._read()]) {
      const { bytes, stocking } = shaking(shake, { handshakeTimeout: 5 })
      bytes.resume()
      await closedOf(stocking)
    }
    await loopTurns(3)
    process.off('unhandledRejection', listener)
    expect(unhandled).toEqual([])
  })

  it('is bounded in what it leaves unread', async () => {
    const { bytes, stocking } = shaking(() => new Promise(() => {}), { maxUnread: 1_000 })
    bytes.send(Buffer.from('826869'.repeat(100_000), 'hex'))
    await waitUntil(() => stocking.channel.isPaused())
    expect(stocking.unread).toBe(0)
    expect(stocking.channel.stats.queuedBytes).toBe(0)
  })
})

describe('the errors', () => {
  it('are those of the package, under the names of the original', () => {
    const [a] = two()
    try {
      a.read()
    } catch (error) {
      expect(error).toBeInstanceOf(FdwireError)
      expect([(error as Error).name, (error as FdwireError).fault]).toEqual(['NotReady', 'caller'])
    }
    const gone = new EOFError()
    expect([gone.name, gone.fault, gone instanceof FdwireError]).toEqual(['EOFError', 'peer', true])
    expect('cause' in gone).toBe(false)
  })
})

describe('the original', () => {
  const SIZES = [0, 1, 63, 64, 127, 128, 8_191, 8_192, 65_535, 65_536, MIB - 1, MIB]
  const KINDS = ['text', 'bytes'] as const

  // The first time on a machine it is installed, for which a test has not the time.
  beforeAll(() => void pythonWithPeers(), 300_000)

  /** The original in a process of its own. */
  function original(): Peer {
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

  /** One of ours and one of theirs, by who connects and how. */
  async function met(how: 'we connect' | 'they connect' | 'by a path', ids = true, accepts = {}) {
    const peer = original()
    const hello = ids ? { id: 'id1', ...accepts } : {}
    let channel: Channel<Value>
    if (how === 'we connect') {
      const { port } = await peer.request({ op: 'listen' })
      const accepted = peer.request({ op: 'accept', ...hello })
      channel = await connect({ host: '127.0.0.1', port }, STOCKINGS)
      await accepted
    } else {
      const byPath = how === 'by a path'
      const where = byPath ? join(temporaryDirectory(), 'socket') : { host: '127.0.0.1', port: 0 }
      const listener = await listen(where, STOCKINGS)
      const connection = once(listener, 'connection')
      const to = byPath ? { path: where } : { port: (listener.address as { port: number }).port }
      await peer.request({ op: 'connect', ...to, ...hello })
      channel = (await connection)[0] as Channel<Value>
      await listener.close()
    }
    const stocking = kept(ids ? new Greeting(channel, 'id2') : new Stocking(channel))
    // Its handshake has a thread of its own, and may not have begun: until then it reads nothing.
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

  it.each(['we connect', 'they connect', 'by a path'] as const)(
    'exchanges ids, and messages of all sizes both ways, when %s',
    async how => {
      const { peer, stocking } = await met(how)
      expect(await stocking.ready).toBe(true)
      expect((stocking as Greeting).remote).toBe('id1')
      const state = await peer.request({ op: 'ready' })
      expect(state).toEqual({ complete: true, active: true, remote: 'id2' })
      for (const kind of KINDS) {
        for (const size of SIZES) {
          // Neither side sends an empty one. One at a time: what the original has not read stops it
          // from writing.
          const value = message(kind, size)
          stocking.write(value)
          if (size > 0) expect(await peer.request({ op: 'read' })).toEqual(digest(value))
          await peer.request({ op: 'write', kind, size })
          if (size > 0) expect(digest(await next(stocking))).toEqual(digest(value))
        }
      }
      stocking.write('naïve – 水 😀')
      expect(await peer.request({ op: 'read' })).toEqual(digest('naïve – 水 😀'))
      await peer.request({ op: 'write', kind: 'text', text: 'naïve – 水 😀' })
      expect(await next(stocking)).toBe('naïve – 水 😀')
      await stocking.close()
      expect(await peer.request({ op: 'read' })).toEqual({ eof: true })
    },
  )

  it('delivers the empty messages that allowEmpty sends', async () => {
    const peer = original()
    const { port } = await peer.request({ op: 'listen' })
    const channel = await connect({ host: '127.0.0.1', port }, { ...STOCKINGS, allowEmpty: true })
    await peer.request({ op: 'accept' })
    const stocking = kept(new Stocking(channel))
    await Promise.all([stocking.ready, peer.request({ op: 'ready' })])
    stocking.write('')
    stocking.write(Buffer.alloc(0))
    expect(await peer.request({ op: 'read' })).toEqual(digest(''))
    expect(await peer.request({ op: 'read' })).toEqual(digest(Buffer.alloc(0)))
  })

  it('takes many messages in order without a handshake, and its close is our EOFError', async () => {
    const { peer, stocking } = await met('we connect', false)
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

  it('refuses us by a handshake that is false, which we hear as the end', async () => {
    const { peer, stocking } = await met('we connect', true, { accepts: 'somebody else' })
    const closed = closedOf(stocking)
    await stocking.ready
    expect(await peer.request({ op: 'ready' })).toMatchObject({ complete: false, active: false })
    await closed
    expect(() => stocking.read()).toThrow(EOFError)
  })

  it('hears that we refuse it', async () => {
    const peer = original()
    const { port } = await peer.request({ op: 'listen' })
    const channel = await connect({ host: '127.0.0.1', port }, STOCKINGS)
    await peer.request({ op: 'accept', id: 'id1' })
    const stocking = kept(new Greeting(channel, 'id2', 'somebody else'))
    await expect(stocking.ready).rejects.toEqual(errorWithCode('ERR_FDWIRE_HANDSHAKE'))
    // Its own handshake is complete or not, depending on what it heard first: our id or the end.
    await peer.request({ op: 'ready' })
    expect([{ eof: true }, { notReady: true }]).toContainEqual(await peer.request({ op: 'read' }))
  })

  it('that is killed in a message of 1 MiB leaves us an error, and nothing else', async () => {
    const { peer, stocking } = await met('they connect', false)
    const closed = closedOf(stocking)
    await stocking.ready
    peer.send({ op: 'write', kind: 'bytes', size: MIB })
    await waitUntil(() => stocking.channel.stats.inHand > 0 || stocking.unread > 0)
    await peer.stop()
    const told = eventsOf(stocking)
    while (stocking.unread > 0) stocking.read()
    if (!stocking.channel.closed) await closed
    expect(() => stocking.read()).toThrow(EOFError)
    expect(told.filter(one => one === 'close').length).toBeLessThanOrEqual(1)
  })
})

it('a port that is closed at once gives no Stocking that lives', async () => {
  const listener = await listen({ host: '127.0.0.1', port: 0 }, STOCKINGS)
  const { port } = listener.address as { port: number }
  const connection = once(listener, 'connection')
  const socket = dial(port, '127.0.0.1')
  socket.on('error', () => {})
  const stocking = kept(new Stocking((await connection)[0] as Channel<Value>))
  const closed = closedOf(stocking)
  socket.resetAndDestroy()
  await closed
  expect(() => stocking.read()).toThrow(EOFError)
  expect(stocking.write('x')).toBe(false)
  await listener.close()
})

const WRONG = new Error('wrong')

function throwIt(): never {
  throw WRONG
}
