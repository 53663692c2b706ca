import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

/** Runs a case of children/tampering.mjs; returns what it prints. */
async function run(name: string): Promise<unknown> {
  const file = testPath('support/children/tampering.mjs')
  const { stdout } = await promisify(execFile)(process.execPath, [file, name], { timeout: 20_000 })
  return JSON.parse(stdout)
}

describe('in a process that handles uncaught exceptions', () => {
  it('messages arrive although methods of Buffer and JSON were replaced', async () => {
    expect(await run('methods')).toEqual({
      texts: ['a', 'b', 'ü', 'alone', 'xxxxx'],
      buffers: [true, true, true],
      numbers: [1],
      uncaught: 0,
    })
  })

  it('messages arrive although Object.prototype has elements', async () => {
    const values = Array(4).fill([1, 2, 3])
    expect(await run('elements')).toEqual({ values, uncaught: 0 })
  })

  it('messages arrive although a listener detaches the memory of each', async () => {
    const texts = Array.from({ length: 10 }, (_, i) => `message ${i}`)
    expect(await run('detached')).toEqual({ texts, uncaught: 0 })
  })

  it('a turn that throws again and again closes the channel', async () => {
    expect(await run('stuck')).toEqual({ closed: true, few: true })
  })
})
