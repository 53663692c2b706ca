import { readFileSync } from 'node:fs'
import { adopt, bind, type Channel, connect, pair } from 'fdwire'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, testPath } from '../support/processes.js'

cleanUpAfterEach()

interface Row {
  case?: string
  python?: string
  hex: string
  repeat?: number
  json?: string
  malformed?: string
}

const { dumps, received } = JSON.parse(
  readFileSync(testPath('../vectors/jsoncomm.json'), 'utf8'),
) as Record<'dumps' | 'received', Row[]>
const rows = [...dumps, ...received].map(row => ({ name: row.case ?? row.python, ...row }))

const bytesOf = ({ hex, repeat = 1 }: Row) => Buffer.from(hex.repeat(repeat), 'hex')
/** The expected result of a row: the JSON text of the value, or the code of the error. */
const expected = ({ json, malformed }: Row) =>
  malformed ?? { json: JSON.stringify(JSON.parse(json as string)) }

const JSONCOMM = { protocol: 'jsoncomm' } as const
const RAW = { protocol: 'raw', type: 'dgram' } as const
/** Marks the end of the datagrams of a test. */
const END = 'end of the rows'
let server: Channel
let sender: Channel<Buffer>
beforeAll(async () => {
  server = await bind(null, { ...JSONCOMM, maxMessage: 1 << 20 })
  sender = await connect(server.localAddress as string, RAW)
})
afterAll(async () => {
  await Promise.all([server.close(), sender.close()])
})

/** Sends raw datagrams, followed by an end marker, and returns the results in order. */
async function deliver(
  to: Channel,
  send: (bytes: Buffer) => void,
  messages: Buffer[],
): Promise<unknown[]> {
  const results: unknown[] = []
  const onMalformed = (error: { code: string }) => results.push(error.code)
  to.on('malformed', onMalformed)
  await new Promise<void>(resolve => {
    const onMessage = (value: unknown) => {
      if (value !== END) {
        results.push({ json: JSON.stringify(value) })
        return
      }
      to.off('message', onMessage)
      resolve()
    }
    for (const bytes of messages) send(bytes)
    send(Buffer.from(JSON.stringify(END)))
    to.on('message', onMessage)
  })
  to.off('malformed', onMalformed)
  return results
}

describe('jsoncomm decodes the datagram', () => {
  it.each(rows.map(row => [row.name, row] as const))('%s', async (_, row) => {
    expect(await deliver(server, bytes => sender.send(bytes), [bytesOf(row)])).toEqual([
      expected(row),
    ])
  })
})

describe('jsoncomm decodes a burst of', () => {
  const small = rows.filter(row => bytesOf(row).length < 200)
  const good = small.filter(row => row.malformed === undefined)
  const orders: [string, Row[]][] = [
    ['all datagrams', rows],
    ['all datagrams in reverse order', rows.toReversed()],
    ['the small datagrams', small],
    ['the valid datagrams', good],
    ['the valid datagrams, 20 times', Array.from({ length: 20 }, () => good).flat()],
    ['malformed datagrams, each between valid ones', small.flatMap(row => [good[0] as Row, row])],
  ]
  it.each(orders)('%s', async (_, order) => {
    // A pair queues up to the send buffer, so the channel reads the burst in a few turns.
    const [raw, other] = pair(RAW)
    const jsoncomm = adopt(other.detach(), { ...JSONCOMM, maxMessage: 1 << 20 })
    const results = await deliver(jsoncomm, bytes => raw.send(bytes), order.map(bytesOf))
    expect(results).toEqual(order.map(expected))
    await Promise.all([raw.close(), jsoncomm.close()])
  })
})

describe('jsoncomm does not join neighbouring datagrams with', () => {
  const traps: [string, string[]][] = [
    ['halves of an array', ['[1', '2]']],
    ['halves of a string', ['"a', 'b"']],
    ['an extra and a missing bracket', ['1]', '[2']],
    ['halves of an object', ['{"a":1', '"b":2}']],
    ['whitespace next to two values', [' ', '1,2']],
    ['two values next to an empty datagram', ['1,2', '']],
    ['a backslash at the end of a datagram', ['"a\\', '"']],
    ['brackets within strings', ['"[', ']"', '1']],
  ]
  it.each(traps)('%s', async (_, texts) => {
    const around = ['0', ...texts, '{"after":[]}', '"last"']
    const decodedAlone = (text: string) => {
      if (text === '') return 'ERR_FDWIRE_EMPTY_MESSAGE'
      try {
        return { json: JSON.stringify(JSON.parse(text)) }
      } catch {
        return 'ERR_FDWIRE_NOT_JSON'
      }
    }
    const bytes = around.map(text => Buffer.from(text))
    expect(await deliver(server, datagram => sender.send(datagram), bytes)).toEqual(
      around.map(decodedAlone),
    )
  })
})
