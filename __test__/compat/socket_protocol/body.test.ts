/** Bodies and frames of socket_protocol: the vectors, and values that cannot be encoded. */
import { readFileSync } from 'node:fs'
import { Codec, type FdwireError, pair } from 'fdwire'
import * as sp from 'fdwire/socket_protocol'
import { describe, expect, it } from 'vitest'
import type { Fields, Form } from '../../../lib/options/socket_protocol.js'
import { BodyError, decodeBody, encodeBody } from '../../../lib/wire/encodings/socket_protocol.js'
import { testPath } from '../../support/processes.js'

const read = (name: string) => JSON.parse(readFileSync(testPath(`../vectors/${name}.json`), 'utf8'))
const vectors = read('socket_protocol')
const framing = read('socket_protocol_framing')
const FORMS = ['pure_json', 'struct_json'] as const

interface Row {
  case: string
  form: Form
  body: string
  why: string
  ids?: number[]
}
const unhex = (hex: string) => Buffer.from(hex, 'hex')
const fieldsOf = ({ status, service_id, data_id, data }: Fields): Fields => ({
  status,
  service_id,
  data_id,
  data: JSON.parse(data as string),
})

/** Returns rows for `it.each` whose title is the name of the case. */
const titled = <R extends { case: string }>(rows: R[]) => rows.map(row => [row.case, row] as const)

/** Returns the error that a call throws. */
function thrownBy(call: () => unknown): FdwireError & { ids?: object } {
  try {
    call()
  } catch (error) {
    return error as FdwireError
  }
  throw new Error('The call did not throw')
}

describe('the constants of fdwire/socket_protocol', () => {
  it('equal those of the original', () => {
    const constants = Object.entries(sp).filter(([name]) =>
      /^(SID|DID|STATUS|AUTH_STATE)_[A-Z]/.test(name),
    )
    expect(Object.fromEntries(constants)).toEqual(vectors.constants)
  })
})

describe('socket_protocol encodes and decodes', () => {
  it.each(titled(vectors.messages as (Fields & Record<'case', string>)[]))('%s', (_, row) => {
    const fields = fieldsOf(row)
    for (const form of FORMS) {
      const body = unhex(row[form as never] as string)
      expect(encodeBody(form, fields)).toEqual(body)
      expect(decodeBody(form, body)).toEqual(fields)
      const frame = unhex(row[form.replace('json', 'frame') as never] as string)
      const codec = new Codec('socket_protocol', { encoding: form })
      expect(codec.encode(fields)).toEqual(frame)
      expect(codec.push(frame)).toEqual([fields])
    }
  })
})

describe('socket_protocol accepts', () => {
  it.each(titled(vectors.accepted as (Fields & Row)[]))('%s', (_, row) => {
    expect(decodeBody(row.form, unhex(row.body))).toEqual(fieldsOf(row))
  })
})

describe('socket_protocol rejects', () => {
  const rows = (vectors.refused as Row[]).map(row => [row.case, row.form, row] as const)
  it.each(rows)('%s (%s)', (_, __, { form, body, why, ids }) => {
    const error = thrownBy(() => decodeBody(form, unhex(body)))
    expect(error).toBeInstanceOf(BodyError)
    expect([error.code, error.fault]).toEqual([why, 'peer'])
    expect(error.sample).toBe(undefined)
    if (ids !== undefined) expect(Object.values(error.ids ?? {})).toEqual(ids)
  })
})

describe('a channel of socket_protocol', () => {
  it.each(['stream', 'dgram'] as const)('carries messages over %s in both forms', async type => {
    for (const encoding of FORMS) {
      const [a, b] = pair({ protocol: 'socket_protocol', type, encoding })
      for (const row of vectors.messages) {
        const fields = fieldsOf(row)
        a.send(fields)
        expect((await b.receive())?.value).toEqual(fields)
      }
      await Promise.all([a.close(), b.close()])
    }
  })

  it('reports invalid bodies without a sample, and the next message arrives', async () => {
    for (const type of ['stream', 'dgram'] as const) {
      const [a, raw] = pair({ protocol: 'socket_protocol', type, encoding: 'buffer' })
      const b = await adoptWithMessages(a, type)
      const codes: string[] = []
      b.on('malformed', error => {
        expect(error.sample).toBe(undefined)
        codes.push(error.code)
      })
      const rows = (vectors.refused as Row[]).filter(({ form }) => form === 'pure_json')
      for (const { body } of rows) raw.send(unhex(body))
      raw.send(encodeBody('pure_json', { status: 0, service_id: 10, data_id: 1, data: 'last' }))
      const values: unknown[] = []
      for await (const { value } of b) {
        values.push(value.data)
        break
      }
      expect(codes).toEqual(rows.map(({ why }) => why))
      expect(values).toEqual(['last'])
      await Promise.all([raw.close(), b.close()])
    }
  })

  it('rejects invalid messages, and sends a DataStorage', async () => {
    const [a, b] = pair({ protocol: 'socket_protocol', type: 'stream' })
    const send = (value: unknown) => () => a.send(value as Fields)
    expect(send('text')).toThrow(TypeError)
    expect(send(null)).toThrow(TypeError)
    expect(send({ service_id: 10 })).toThrow(TypeError)
    expect(send({ service_id: 10, data_id: -1 })).toThrow(RangeError)
    expect(send({ service_id: 2 ** 32, data_id: 0 })).toThrow(RangeError)
    expect(send({ service_id: 1.5, data_id: 0 })).toThrow(RangeError)
    expect(send({ service_id: '10', data_id: 0 })).toThrow(TypeError)
    const cycle: unknown[] = []
    cycle.push(cycle)
    for (const data of [1n, cycle, () => {}, Symbol('s')]) {
      expect(thrownBy(send({ service_id: 10, data_id: 0, data })).code).toBe(
        'ERR_FDWIRE_UNENCODABLE',
      )
    }
    send(new sp.DataStorage({ service_id: 10, data_id: 1, data: [1] }))()
    send({ service_id: 10, data_id: 2 })()
    expect((await b.receive())?.value).toEqual({
      status: 0,
      service_id: 10,
      data_id: 1,
      data: [1],
    })
    expect((await b.receive())?.value.data).toBe(null)
    await Promise.all([a.close(), b.close()])
  })
})

describe('the framing of socket_protocol', () => {
  const frames = framing.frames as { payload: string; frame: string }[]
  it.each(frames.map(row => [row.frame, row] as const))(
    'encodes and decodes the frame %s',
    (_, row) => {
      const codec = new Codec('socket_protocol', { encoding: 'buffer' })
      expect(codec.encode(unhex(row.payload))).toEqual(unhex(row.frame))
      expect(codec.push(unhex(row.frame))).toEqual([unhex(row.payload)])
    },
  )

  type StreamRow = { bytes: string; gives: string[]; missing?: number; case: string }
  it.each(titled(framing.streams as StreamRow[]))(
    'decodes a stream: %s',
    (_, { bytes, gives, missing }) => {
      for (const size of [1, 2, 3, 1_000]) {
        const decoded: string[] = []
        const onMalformed = (error: Error) => {
          expect((error as FdwireError).sample).toBe(undefined)
          decoded.push((error as FdwireError).code)
        }
        const codec = new Codec('socket_protocol', { encoding: 'buffer', onMalformed })
        const stream = unhex(bytes)
        for (let at = 0; at < stream.length; at += size) {
          for (const body of codec.push(stream.subarray(at, at + size)))
            decoded.push(body.toString('hex'))
        }
        expect(decoded).toEqual(
          gives.map(item => (item === 'bad' ? 'ERR_FDWIRE_BAD_ESCAPE' : item)),
        )
        if (missing === undefined) expect(codec.end()).toEqual([])
        else expect(thrownBy(() => codec.end()).missing).toBe(missing)
      }
    },
  )
})

describe('DataStorage', () => {
  it('returns its fields, or the given default for a missing one', () => {
    const whole = new sp.DataStorage({ status: 0, service_id: 10, data_id: 0, data: null })
    expect([
      whole.getStatus(7),
      whole.getServiceId(7),
      whole.getDataId(7),
      whole.getData(7),
    ]).toEqual([0, 10, 0, null])
    const empty = new sp.DataStorage()
    expect([empty.getStatus(), empty.getServiceId(), empty.getDataId(), empty.getData()]).toEqual([
      null,
      null,
      null,
      null,
    ])
    expect([empty.getStatus(5), empty.getData('none')]).toEqual([5, 'none'])
    expect(JSON.parse(JSON.stringify(whole))).toEqual({
      status: 0,
      service_id: 10,
      data_id: 0,
      data: null,
    })
  })
})

/** Adopts the socket of a channel with the encoding of messages. */
async function adoptWithMessages(channel: ReturnType<typeof pair>[0], type: 'stream' | 'dgram') {
  const { adopt } = await import('fdwire')
  return adopt(channel.detach(), { protocol: 'socket_protocol', type, encoding: 'pure_json' })
}
