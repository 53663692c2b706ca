import { Codec, QUIT } from 'fdwire/uds_comms'
import { describe, expect, it } from 'vitest'
import { errorWithCode, loopTurns } from '../../support/channels.js'
import { frame, receiveOutcomes, TEXTS } from '../../support/uds_comms.js'

describe('the uds_comms Codec', () => {
  it('encodes to the same bytes as the original', () => {
    const codec = new Codec()
    for (const text of ['', ...TEXTS]) expect(codec.encode(text).toString()).toBe(frame(text))
    expect(codec.encode('').toString()).toBe('%$')
    expect(codec.encode(QUIT).toString()).toBe('%UVVJVA==$')
  })

  it('throws for a lone surrogate, a value that is not a string, and an unknown option', () => {
    const codec = new Codec()
    expect(() => codec.encode('a\ud800')).toThrow(errorWithCode('ILL_FORMED_TEXT'))
    expect(() => codec.encode(1 as never)).toThrow(TypeError)
    expect(() => new Codec({ mode: 1 } as never)).toThrow(TypeError)
  })

  it('reads until a message is complete and keeps the remaining bytes for the next call', async () => {
    const codec = new Codec()
    const chunks = ['noise%', 'aG', 'k=', '$%dHdv$%dGhy', null, '', 'ZWU=$', null]
    const reads: (string | null)[] = []
    const read = async () => {
      const chunk = chunks.shift() as string | null
      reads.push(chunk)
      return chunk === null ? null : Buffer.from(chunk)
    }
    expect(await codec.receive(read)).toBe('hi')
    expect(reads.length).toBe(4)
    expect(await codec.receive(read)).toBe('two')
    expect(reads.length).toBe(4)
    // Null and an empty read both mean the end. A later call continues the unfinished message.
    expect([await codec.receive(read), await codec.receive(read)]).toEqual([null, null])
    expect([await codec.receive(read), await codec.receive(read)]).toEqual(['three', null])
  })

  it('says what read must return', async () => {
    const codec = new Codec()
    await expect(codec.receive((() => 'text') as never)).rejects.toThrow(
      "read must return a Buffer or null, not 'text'",
    )
  })

  it('returns texts and errors in order for every chunk size', async () => {
    const bytes = Buffer.from(`%bad$${frame('1')}x${frame('')}%aGV${frame('2')}%/w==$%//$`)
    const expected = ['NOT_BASE64', '1', '', 'FRAME_CUT_OFF', '2', 'NOT_UTF8', 'NOT_BASE64', null]
    for (let size = 1; size <= bytes.length; size++) {
      const codec = new Codec()
      let at = 0
      const read = () => {
        at += size
        return bytes.subarray(at - size, at)
      }
      expect(
        await receiveOutcomes({ receive: () => codec.receive(read) }, expected.length),
      ).toEqual(expected)
    }
  })

  it('decodes with lenient: true whatever the original decodes', async () => {
    const codec = new Codec({ lenient: true })
    const chunks = ['%$%aGk=$%aG%k=$%aGVs%aGk=$%ab==cd==$', null]
    const read = () => {
      const chunk = chunks.shift()
      return chunk ? Buffer.from(chunk) : null
    }
    const outcomes = await receiveOutcomes({ receive: () => codec.receive(read) }, 5)
    expect(outcomes).toEqual(['hi', 'hi', 'helhi', 'i', null])
  })

  it('fails permanently after a frame longer than maxMessage, and returns the messages before it', async () => {
    const codec = new Codec({ maxMessage: 3 })
    const chunks = [`${frame('abc')}${frame('abcd')}${frame('abc')}`, frame('abc')]
    const read = () => Buffer.from(chunks.shift() ?? '')
    const outcomes = await receiveOutcomes({ receive: () => codec.receive(read) }, 3)
    expect(outcomes).toEqual(['abc', 'MESSAGE_TOO_LARGE', 'MESSAGE_TOO_LARGE'])
    expect(chunks.length).toBe(1)
  })

  it('serves concurrent calls in turn and rejects with an error of the read function', async () => {
    const codec = new Codec()
    const parts = ['%aG', 'k=$', '%dHdv$']
    const read = async () => {
      await loopTurns(parts.length)
      return Buffer.from(parts.shift() as string)
    }
    expect(await Promise.all([codec.receive(read), codec.receive(read)])).toEqual(['hi', 'two'])
    const boom = new Error('boom')
    await expect(codec.receive(() => Promise.reject(boom))).rejects.toBe(boom)
    await expect(codec.receive(null as never)).rejects.toThrow(TypeError)
    expect(await codec.receive(() => Buffer.from('%aGk=$'))).toBe('hi')
  })
})
