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
/** What must come of a row: the value's own text, or the code of the error. */
const expected = ({ json, malformed }: Row) =>
  malformed ?? { json: JSON.stringify(JSON.parse(json as string)) }

const JSONCOMM = { protocol: 'jsoncomm' } as const
const RAW = { protocol: 'raw', type: 'dgram' } as const
let server: Channel
let sender: Channel<Buffer>
beforeAll(async () => {
  server = await bind('', { ...JSONCOMM, maxMessage: 1 << 20 })
  sender = await connect(server.localAddress as string, RAW)
})
afterAll(async () => {
  await Promise.all([server.close(), sender.close()])
})

/** Sends bytes as they are and collects what comes, in order, until the message 'end' comes. */
async function deliver(
  to: Channel,
  send: (bytes: Buffer) => void,
  messages: Buffer[],
): Promise<unknown[]> {
  const got: unknown[] = []
  const onMalformed = (error: { code: string }) => got.push(error.code)
  to.on('malformed', onMalformed)
  await new Promise<void>(resolve => {
    const onMessage = (value: unknown) => {
      if (value !== 'end of the rows') {
        got.push({ json: JSON.stringify(value) })
        return
      }
      to.off('message', onMessage)
      resolve()
    }
    for (const bytes of messages) send(bytes)
    send(Buffer.from('"end of the rows"'))
    to.on('message', onMessage)
  })
  to.off('malformed', onMalformed)
  return got
}

describe('a datagram of the vectors is what they say', () => {
  it.each(rows)('$name', async row => {
    expect(await deliver(server, bytes => sender.send(bytes), [bytesOf(row)])).toEqual([
      expected(row),
    ])
  })
})

describe('all datagrams of the vectors are what they say, in one burst', () => {
  const small = rows.filter(row => bytesOf(row).length < 200)
  const good = small.filter(row => row.malformed === undefined)
  const orders: [string, Row[]][] = [
    ['as they stand', rows],
    ['backwards', rows.toReversed()],
    ['the small ones', small],
    ['those that are JSON', good],
    ['those that are JSON, many times', Array.from({ length: 20 }, () => good).flat()],
    ['each malformed one between two good ones', small.flatMap(row => [good[0] as Row, row])],
  ]
  it.each(orders)('%s', async (_, order) => {
    // The queue of a pair is as large as the send buffer: the burst is read in a few turns.
    const [raw, other] = pair(RAW)
    const jsoncomm = adopt(other.detach(), { ...JSONCOMM, maxMessage: 1 << 20 })
    const got = await deliver(jsoncomm, bytes => raw.send(bytes), order.map(bytesOf))
    expect(got).toEqual(order.map(expected))
    await Promise.all([raw.close(), jsoncomm.close()])
  })
})

describe('a text that leaks into its neighbour does so nowhere', () => {
  const traps: [string, string[]][] = [
    ['halves of an array', ['[1', '2]']],
    ['halves of a string', ['"a', 'b"']],
    ['a bracket too many, one too few', ['1]', '[2']],
    ['an object over two', ['{"a":1', '"b":2}']],
    ['nothing but blanks beside two values', [' ', '1,2']],
    ['two values beside an empty one', ['1,2', '']],
    ['a backslash at the end', ['"a\\', '"']],
    ['a bracket in a string', ['"[', ']"', '1']],
  ]
  it.each(traps)('%s', async (_, texts) => {
    const around = ['0', ...texts, '{"after":[]}', '"last"']
    const alone = (text: string) => {
      if (text === '') return 'ERR_FDWIRE_EMPTY_MESSAGE'
      try {
        return { json: JSON.stringify(JSON.parse(text)) }
      } catch {
        return 'ERR_FDWIRE_NOT_JSON'
      }
    }
    const bytes = around.map(text => Buffer.from(text))
    expect(await deliver(server, one => sender.send(one), bytes)).toEqual(around.map(alone))
  })
})
