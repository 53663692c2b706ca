import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

const CHILD = testPath('support/children/small-memory.mjs')

async function run(name: string, ...nodeOptions: string[]) {
  const args = [...nodeOptions, CHILD, name]
  const child = promisify(execFile)(process.execPath, args, { timeout: 120_000 })
  return child.then(
    ({ stdout }) => ({ result: JSON.parse(stdout), signal: null, stderr: '' }),
    ({ signal, stderr }) => ({ result: undefined, signal, stderr }),
  )
}

describe('a process with a small heap', () => {
  it.each([
    ['buffers', '--max-old-space-size=16', '--max-semi-space-size=16'],
    ['buffers', '--max-old-space-size=64', '--max-semi-space-size=1'],
    ['texts', '--max-old-space-size=48', '--max-semi-space-size=8'],
    ['many', '--max-old-space-size=32', '--max-semi-space-size=1'],
  ])(
    'receives large and many messages undamaged: %s with %s %s',
    async (name, ...options) => {
      const { result, stderr } = await run(name, ...options)
      expect(result, stderr).toBe(true)
    },
    120_000,
  )

  it('ends as Node ends if the values of a message do not fit', async () => {
    const { signal, stderr } = await run('objects', '--max-old-space-size=32')
    expect(signal).toBe('SIGABRT')
    expect(stderr).toContain('JavaScript heap out of memory')
    expect(stderr).not.toContain('panicked')
  }, 120_000)
})

describe('a process with a small stack', () => {
  it.each(['the default size', '--stack-size=200', '--stack-size=100'])(
    'refuses JSON that is nested too deeply, and receives the next message: %s',
    async option => {
      const { result, stderr } = await run('nested', ...(option.startsWith('--') ? [option] : []))
      const malformed = 'ERR_FDWIRE_BAD_BODY'
      expect([['parsed'], [malformed, malformed, 'next']], stderr).toContainEqual(result)
    },
  )

  it.each(['the default size', '--stack-size=200'])(
    'sends a value that is nested deeply or throws, and sends the next one: %s',
    async option => {
      const { result, stderr } = await run(
        'recursive',
        ...(option.startsWith('--') ? [option] : []),
      )
      const ends = ['sent', 'ERR_FDWIRE_UNENCODABLE'].map(how => [how, 'next'])
      expect(ends, stderr).toContainEqual(result)
    },
  )

  it('receives many messages undamaged', async () => {
    const { result, stderr } = await run('many', '--stack-size=100')
    expect(result, stderr).toBe(true)
  })
})
