import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  KERNEL_QUEUE_LENGTH,
  loopTurns,
  rawDgramPair,
} from '../support/channels.js'

destroyChannelsAfterEach()

describe('JSON texts that arrive in one batch', () => {
  const ADVERSARIAL = [
    '1',
    '"a"',
    '"é"',
    '"\\""',
    '"\\\\"',
    '"]"',
    '"[1,2"',
    '{"a":[1,2,{"b":"}"}]}',
    '[]',
    '{}',
    'null',
    ' 1 ',
    '\n[\t]\r',
    '"\\u0000"',
    '"\u2028"',
    '-0',
    '1e400',
    '{"__proto__":1}',
    '{"a":1,"a":2}',
    '"😀"',
    // The following are not valid alone, and must not become valid next to others.
    '1,2',
    '1],[2',
    '[1',
    '2]',
    '{"a":1',
    '"b":2}',
    '"',
    '"a',
    'a"',
    '\\',
    '"\\',
    '',
    ' ',
    ',',
    '[,]',
    '}{',
    '][',
    '/*1*/1',
    '\ufeff1',
    'NaN',
    'undefined',
    "'a'",
    '01',
    '1//',
    '{"a":1},',
    '[1,]',
  ]

  const expectedOf = (text: string): unknown => {
    try {
      return { value: JSON.parse(text) }
    } catch {
      return { malformed: text.slice(0, 32) }
    }
  }

  /** Returns the values and samples that a channel emits for each burst of texts. */
  async function deliver(bursts: string[][]): Promise<unknown[][]> {
    const [sender, receiver] = await rawDgramPair()
    let events: unknown[] = []
    receiver.on('message', value => events.push({ value }))
    receiver.on('malformed', ({ sample }) => events.push({ malformed: sample?.toString() }))
    const all: unknown[][] = []
    for (const burst of bursts) {
      events = []
      for (const text of burst) expect(sender.send(text)).toBe(true)
      while (events.length < burst.length) await loopTurns(1)
      all.push(events)
    }
    return all
  }

  it('decode as JSON.parse decodes each of them, in every pair and between valid texts', async () => {
    const bursts = ADVERSARIAL.flatMap(one => [
      ...ADVERSARIAL.map(other => [one, other]),
      ['1', one, '2'],
      ['"é"', one, '[]', one],
    ])
    const expected = bursts.map(burst => burst.map(expectedOf))
    expect(await deliver(bursts)).toEqual(expected)
  })

  it('decode as JSON.parse decodes each of them, in random batches', async () => {
    let seed = 1
    const random = (below: number) => {
      seed = (seed * 48_271) % 0x7fff_ffff
      return seed % below
    }
    const pieces = ['"', '\\', '[', ']', '{', '}', ',', ':', '1', 'a', ' ', 'é', 'null', '""', '[]']
    const text = () => Array.from({ length: random(6) }, () => pieces[random(15)]).join('')
    const randomText = () =>
      random(3) ? (ADVERSARIAL[random(ADVERSARIAL.length)] as string) : text()
    const bursts = Array.from({ length: 3_000 }, () =>
      Array.from({ length: 2 + random(KERNEL_QUEUE_LENGTH - 2) }, randomText),
    )
    const expected = bursts.map(burst => burst.map(expectedOf))
    expect(await deliver(bursts)).toEqual(expected)
  })
})
