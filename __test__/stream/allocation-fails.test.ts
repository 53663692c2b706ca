import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

const CHILD = testPath('support/children/allocation-fails.mjs')

describe('a Buffer that cannot be allocated', () => {
  it('makes its message malformed and mapMemfd fail, and both work again with memory', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [CHILD])
    const cause = 'Array buffer allocation failed'
    expect(JSON.parse(stdout)).toEqual([
      ['ERR_FDWIRE_MESSAGE_TOO_LARGE', 'There is no memory for a message of 1000000 bytes', cause],
      'small',
      1_000_000,
      ['ENOMEM', 'mmap ENOMEM: a copy of the memfd has 1000000 bytes', cause],
      1_000_000,
    ])
  })
})
