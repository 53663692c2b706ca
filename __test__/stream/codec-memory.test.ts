import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

const CHILD = testPath('support/children/codec-memory.mjs')
const MIB = 1024 * 1024

describe('a Codec', () => {
  it('frees what a loop no longer uses before the event loop turns', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [CHILD], { timeout: 20_000 })
    // 512 MiB go through it.
    expect(JSON.parse(stdout)).toBeLessThan(350 * MIB)
  })
})
