import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

const CHILD = testPath('support/children/tampered.mjs')

const ALL = {
  json: [1, 2, 5, 4, '2 descriptors'],
  texts: [5, 300_000, 0],
  datagrams: [1, 2],
  answered: [5],
  replies: [8, 11, '1 descriptors'],
  refused: 'FdwireError',
  option: 'TypeError',
}

async function run(how: string, when: 'before' | 'after', ...nodeOptions: string[]) {
  const args = [...nodeOptions, CHILD, how, when]
  const child = promisify(execFile)(process.execPath, args, { timeout: 60_000 })
  return child.then(
    ({ stdout }) => ({ code: 0, result: JSON.parse(stdout), stderr: '' }),
    ({ code, signal, stderr }) => ({ code: code ?? signal, result: undefined, stderr }),
  )
}

describe('messages of every kind', () => {
  it.each(['before', 'after'] as const)(
    'arrive if built-ins are frozen %s fdwire is loaded',
    async when => {
      expect((await run('frozen', when)).result).toEqual(ALL)
    },
  )

  it('arrive under --frozen-intrinsics', async () => {
    expect((await run('nothing', 'after', '--frozen-intrinsics')).result).toEqual(ALL)
  })

  it.each([
    ['values', 'before'],
    ['values', 'after'],
    ['getters', 'before'],
    ['getters', 'after'],
    ['elements', 'before'],
    ['elements', 'after'],
  ] as const)(
    'arrive if Object.prototype gets %s with the names of options and of indices %s loading',
    async (what, when) => {
      const { result, stderr } = await run(`${what} in Object.prototype`, when)
      expect(result, stderr).toEqual(ALL)
    },
  )

  it.each([
    ['methods of Buffer.prototype', 'before'],
    ['methods of Buffer.prototype', 'after'],
    ['methods of Array.prototype', 'before'],
    ['methods of Array.prototype', 'after'],
  ] as const)(
    'arrive, or the call throws what %s throw, replaced %s loading',
    async (how, when) => {
      const { code, result, stderr } = await run(how, when)
      if (code === 0) expect(result).toEqual(ALL)
      else {
        expect([1, 9]).toContain(code)
        expect(stderr).toContain('This is tampered with')
      }
    },
  )
})
