/** The end of a Stocking, and its errors. */
import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import { type Channel, FdwireError, listen } from 'fdwire'
import { EOFError, Stocking } from 'fdwire/stockings'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory } from '../../support/processes.js'
import {
  destroyAfterTest,
  MIB,
  rawPair,
  readNext,
  recordStockingEvents,
  STOCKINGS,
  stockingPair,
  type Value,
  whenStockingClosed,
} from '../../support/stockings.js'
import { afterTest, runCleanupsAfterEach, waitUntil } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

describe('the end of a Stocking', () => {
  it('makes read throw EOFError after the last message, and write return false', async () => {
    const [bytes, stocking] = rawPair()
    const closed = whenStockingClosed(stocking)
    const events = recordStockingEvents(stocking)
    bytes.send(Buffer.from('8171', 'hex'))
    await bytes.close()
    await waitUntil(() => stocking.channel.closed)
    await loopTurns(1)
    expect(stocking.active).toBe(false)
    expect(events).toEqual(['ready', 'readable'])
    expect(stocking.read()).toBe('q')
    expect(() => stocking.read()).toThrow(EOFError)
    expect(() => stocking.read()).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_PEER_CLOSED', fault: 'peer' }),
    )
    expect(stocking.write('after the end')).toBe(false)
    await closed
    expect(events).toEqual(['ready', 'readable', 'end', 'close'])
  })

  it('within a message makes read throw EOFError with a cause', async () => {
    const [bytes, stocking] = rawPair()
    bytes.send(Buffer.from('81718568', 'hex'))
    await bytes.close()
    await waitUntil(() => !stocking.active)
    expect(stocking.read()).toBe('q')
    const cause = expect.objectContaining({ code: 'ERR_FDWIRE_CUT_SHORT', missing: 4 })
    expect(() => stocking.read()).toThrow(expect.objectContaining({ name: 'EOFError', cause }))
  })

  it('within a message of a killed peer emits error once', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const listener = await listen(path, STOCKINGS)
    afterTest(() => listener.close())
    const accepted = once(listener, 'connection')
    const peer = new Peer(process.execPath, [
      '-e',
      `const s = require('net').connect(${JSON.stringify(path)}, () =>
         s.write(Buffer.from('8171' + 'ff' + '00', 'hex'), () => console.log('1')))`,
    ])
    const stocking = destroyAfterTest(new Stocking((await accepted)[0] as Channel<Value>))
    const events = recordStockingEvents(stocking)
    await peer.receive()
    expect(await readNext(stocking)).toBe('q')
    await peer.stop()
    await waitUntil(() => events.includes('close'))
    expect(events).toEqual(['ready', 'readable', 'ERR_FDWIRE_CUT_SHORT', 'close'])
    expect(() => stocking.read()).toThrow(EOFError)
  })

  it('by an overlong header or a length over maxMessage emits error', async () => {
    for (const [hex, code] of [
      ['00'.repeat(17), 'ERR_FDWIRE_BAD_HEADER'],
      [`${'7f'.repeat(8)}ff`, 'ERR_FDWIRE_MESSAGE_TOO_LARGE'],
    ] as const) {
      const [bytes, stocking] = rawPair()
      const errors: unknown[] = []
      stocking.on('error', error => errors.push((error as FdwireError).code))
      const closed = whenStockingClosed(stocking)
      bytes.send(Buffer.from(hex, 'hex'))
      await closed
      expect(errors).toEqual([code])
      bytes.destroy()
    }
  })

  it('by close() follows the last sent byte, even if the peer reads slowly', async () => {
    const [bytes, stocking] = rawPair()
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

  it('by destroy() drops queued messages and emits close last', async () => {
    const [bytes, stocking] = rawPair()
    const closed = whenStockingClosed(stocking)
    const events = recordStockingEvents(stocking)
    await stocking.ready
    stocking.write(Buffer.alloc(3 * MIB, 'x'))
    bytes.send(Buffer.from('8171', 'hex'))
    await once(stocking, 'readable')
    stocking.destroy()
    expect(events).toEqual(['ready', 'readable'])
    expect(stocking.read()).toBe(null)
    await closed
    await loopTurns(2)
    expect(events).toEqual(['ready', 'readable', 'close'])
    let length = 0
    for await (const { value } of bytes) length += value.length
    expect(length).toBeLessThan(3 * MIB)
  })

  it('by destroy() of its channel leaves only the messages already read from it', async () => {
    const [bytes, stocking] = rawPair({ maxUnread: 1 })
    const closed = whenStockingClosed(stocking)
    bytes.send(Buffer.from('81718172', 'hex'))
    await once(stocking, 'readable')
    stocking.channel.destroy()
    expect(stocking.read()).toBe('q')
    await closed
    expect([stocking.active, stocking.read()]).toEqual([false, null])
  })

  it('by a connection reset right after accept makes read throw EOFError', async () => {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, STOCKINGS)
    const { port } = listener.address as { port: number }
    const connection = once(listener, 'connection')
    const socket = dial(port, '127.0.0.1')
    socket.on('error', () => {})
    const stocking = destroyAfterTest(new Stocking((await connection)[0] as Channel<Value>))
    const closed = whenStockingClosed(stocking)
    socket.resetAndDestroy()
    await closed
    expect(() => stocking.read()).toThrow(EOFError)
    expect(stocking.write('x')).toBe(false)
    await listener.close()
  })
})

describe('NotReady and EOFError', () => {
  it('are FdwireErrors with the names of the original', () => {
    const [a] = stockingPair()
    try {
      a.read()
    } catch (error) {
      expect(error).toBeInstanceOf(FdwireError)
      expect([(error as Error).name, (error as FdwireError).fault]).toEqual(['NotReady', 'caller'])
    }
    const eof = new EOFError()
    expect([eof.name, eof.fault, eof instanceof FdwireError]).toEqual(['EOFError', 'peer', true])
    expect('cause' in eof).toBe(false)
  })
})
