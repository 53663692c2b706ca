/** Messages of fdwire/stockings, and what a Stocking can be constructed from. */
import { once } from 'node:events'
import { type Channel, over, pair } from 'fdwire'
import { Stocking } from 'fdwire/stockings'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../../support/channels.js'
import {
  destroyAfterTest,
  rawPair,
  readNext,
  STOCKINGS,
  stockingPair,
  type Value,
} from '../../support/stockings.js'
import { nodeSocketPair, RAW_STREAM, runCleanupsAfterEach } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

describe('a stockings message', () => {
  it('arrives whole and in order, as text or bytes; read returns null if no message has arrived', async () => {
    const [a, b] = stockingPair()
    await Promise.all([a.ready, b.ready])
    expect(b.read()).toBe(null)
    for (const value of ['hi', Buffer.from('hi'), 'héllo', 'x'.repeat(300)]) a.write(value)
    expect(await readNext(b)).toBe('hi')
    expect(await readNext(b)).toEqual(Buffer.from('hi'))
    expect(await readNext(b)).toBe('héllo')
    expect(await readNext(b)).toBe('x'.repeat(300))
    expect(b.read()).toBe(null)
  })

  it('is sent completely after a partial write, whatever its size', async () => {
    for (let size = 100_000; size < 2_000_000; size += 50_000) {
      const [a, b] = stockingPair()
      await a.ready
      a.write(Buffer.alloc(size))
      expect((await readNext(b)).length).toBe(size)
    }
  })

  it('without bytes is sent only with allowEmpty, and is always received', async () => {
    const [bytes, stocking] = rawPair()
    await stocking.ready
    expect(stocking.write('') && stocking.write(Buffer.alloc(0))).toBe(true)
    stocking.write('hi')
    expect((await bytes.receive())?.value).toEqual(Buffer.from('826869', 'hex'))
    bytes.send(Buffer.from('80c0', 'hex'))
    expect(await readNext(stocking)).toBe('')
    expect(await readNext(stocking)).toEqual(Buffer.alloc(0))
    const [bare, other] = pair(RAW_STREAM)
    track(bare)
    const empty = destroyAfterTest(new Stocking(other.detach(), { allowEmpty: true }))
    await empty.ready
    empty.write('')
    empty.write(Buffer.alloc(0))
    await empty.close()
    expect((await bare.receive())?.value).toEqual(Buffer.from('80c0', 'hex'))
  })

  it('arrives whole byte by byte, also after a header longer than necessary', async () => {
    const [bytes, stocking] = rawPair()
    await stocking.ready
    const wire = Buffer.from('826869' + 'c26869' + '01805a' + '050080' + '68656c6c6f' + '80', 'hex')
    for (const byte of wire) {
      bytes.send(Buffer.from([byte]))
      await loopTurns(1)
    }
    expect(await readNext(stocking)).toBe('hi')
    expect(await readNext(stocking)).toEqual(Buffer.from('hi'))
    expect(await readNext(stocking)).toBe('Z')
    expect(await readNext(stocking)).toBe('hello')
    expect(await readNext(stocking)).toBe('')
  })

  it('with invalid UTF-8 is reported as malformed and skipped', async () => {
    const [bytes, stocking] = rawPair()
    const malformed = once(stocking, 'malformed')
    bytes.send(Buffer.from('82fffe826869', 'hex'))
    expect((await malformed)[0].code).toBe('ERR_FDWIRE_NOT_UTF8')
    expect(await readNext(stocking)).toBe('hi')
    expect(stocking.active).toBe(true)
  })

  it('passes through preWrite and postRead, except in the handshake', async () => {
    class Named extends Stocking<string> {
      readonly own = 'a field, initialized before the handshake'
      received: unknown
      override async handshake() {
        this._write(this.own)
        this.received = await this._read()
        return this.received
      }
      override preWrite(name: string, text: string) {
        return `${name}: ${text}`
      }
      override postRead(message: Value) {
        return `${message}!`
      }
    }
    const [a, b] = pair(STOCKINGS).map(channel => destroyAfterTest(new Named(track(channel)))) as [
      Named,
      Named,
    ]
    await Promise.all([a.ready, b.ready])
    expect([a.received, b.handshakeComplete]).toEqual([a.own, a.own])
    a.write('name', 'hi')
    expect(await readNext(b)).toBe('name: hi!')
  })

  it('that is not encodable makes write throw without sending anything', async () => {
    const [a] = stockingPair()
    await a.ready
    for (const wrong of [[5], [null], [['a']], []]) {
      expect(() => a.write(...wrong)).toThrow(TypeError)
    }
    expect(() => a.write('\ud800')).toThrow(errorWithCode('ERR_FDWIRE_ILL_FORMED_TEXT'))
    expect(a.active).toBe(true)
  })
})

describe('the constructor of Stocking', () => {
  it('accepts a descriptor or a net.Socket', async () => {
    const [bytes, other] = pair(RAW_STREAM)
    track(bytes)
    const ofFd = destroyAfterTest(new Stocking(other.detach()))
    const [near, far] = await nodeSocketPair()
    const { remotePort, localPort } = near
    far.write(Buffer.from('826869', 'hex'))
    const ofSocket = destroyAfterTest(new Stocking(near, { maxMessage: 100 }))
    expect(ofSocket.addr).toEqual({ host: '127.0.0.1', port: remotePort })
    expect(localPort).toBe(far.remotePort)
    bytes.send(Buffer.from('826869', 'hex'))
    await Promise.all([ofFd.ready, ofSocket.ready])
    expect([await readNext(ofFd), await readNext(ofSocket)]).toEqual(['hi', 'hi'])
    expect(ofFd.fileno()).toBe(ofFd.channel.fd)
    expect(ofFd.sock).toBe(ofFd.channel)
    await ofFd.close()
    expect([ofFd.fileno(), ofFd.writeDataQueued(), ofFd.active]).toEqual([-1, false, false])
  })

  it('accepts a channel over any Duplex', async () => {
    const [near, far] = await nodeSocketPair()
    const stocking = destroyAfterTest(new Stocking(over(near, STOCKINGS)))
    far.write(Buffer.from('826869', 'hex'))
    await stocking.ready
    expect(await readNext(stocking)).toBe('hi')
  })

  it('throws for another protocol, a closed channel or an invalid option', () => {
    const [lines, other] = pair({ protocol: 'lines' })
    track(lines)
    track(other)
    expect(() => new Stocking(lines as never)).toThrow(/not one of lines/)
    const [a, b] = pair(STOCKINGS).map(track) as [Channel<Value>, Channel<Value>]
    expect(() => new Stocking(a, { maxMessage: 5 })).toThrow(/no option maxMessage/)
    expect(() => new Stocking(0, { protocol: 'lines' } as object)).toThrow(/no option protocol/)
    expect(() => new Stocking(b, { handshakeTimeout: -1 })).toThrow(RangeError)
    expect(() => new Stocking('0' as never)).toThrow(
      "Stocking takes the number of a descriptor or a net.Socket, not '0'",
    )
    expect(() => new Stocking(b, { maxUnread: 0 })).toThrow(RangeError)
    a.destroy()
    expect(() => new Stocking(a)).toThrow(errorWithCode('ERR_FDWIRE_CLOSED'))
  })
})
