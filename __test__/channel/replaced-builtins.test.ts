import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

/** Runs a case of children/replaced-builtins.mjs; returns the printed result. */
async function run(name: string): Promise<unknown> {
  const file = testPath('support/children/replaced-builtins.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [file, name], { timeout: 20_000 })
  return JSON.parse(stdout)
}

describe('a channel in a process that handles uncaught exceptions', () => {
  it('delivers messages even if methods of Buffer and JSON throw', async () => {
    expect(await run('methods')).toEqual({
      texts: ['a', 'b', 'ü', 'alone', 'xxxxx'],
      buffers: [true, true, true],
      numbers: [1],
      uncaught: 0,
    })
  })

  it('delivers messages even if Object.prototype has elements', async () => {
    const values = Array(4).fill([1, 2, 3])
    expect(await run('elements')).toEqual({ values, uncaught: 0 })
  })

  it('delivers messages even if a listener detaches the memory of each', async () => {
    const texts = Array.from({ length: 10 }, (_, i) => `message ${i}`)
    expect(await run('detached')).toEqual({ texts, uncaught: 0 })
  })

  it('is closed if its turns throw repeatedly', async () => {
    expect(await run('stuck')).toEqual({ closed: true, few: true })
  })
})
