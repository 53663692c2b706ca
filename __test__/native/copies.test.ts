import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'

cleanUpAfterEach()

const ROOT = testPath('..')
const CHILD = testPath('support/children/two-copies.mjs')

/** Copies the built package with its addon; returns the copy's entry. */
function copyPackage(): string {
  const directory = temporaryDirectory()
  const files = ['package.json', ...readdirSync(ROOT).filter(name => name.endsWith('.node'))]
  for (const file of files) cpSync(join(ROOT, file), join(directory, file))
  mkdirSync(join(directory, 'dist'))
  cpSync(join(ROOT, 'dist'), join(directory, 'dist'), { recursive: true })
  return join(directory, 'dist', 'index.js')
}

async function runTwoCopies(...hostile: string[]) {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, copyPackage(), ...hostile])
  return JSON.parse(stdout)
}

describe('two copies of the package in one thread', () => {
  it('refuse the descriptors of each other, and exchange those that are given away', async () => {
    const other = 'of another copy of fdwire in this process'
    expect(await runTwoCopies()).toEqual({
      'FdSet.from of a set': 'EBUSY',
      'FdSet.from of a set, message': `fcntl EBUSY: descriptor N belongs to an FdSet ${other}`,
      'FdSet.from twice': 'EBUSY',
      'FdSet.from twice, message': expect.stringContaining('EBUSY'),
      'FdSet.from of a channel': 'EBUSY',
      'FdSet.from of a channel, message': `fcntl EBUSY: descriptor N belongs to a channel ${other}`,
      'adopt of a channel': 'TypeError',
      'adopt of a channel, message': `adopt: descriptor N belongs to a channel ${other}: detach() gives it away`,
      received: 'from the other copy',
      'FdSet.from after take': 'accepted',
      property: false,
    })
  })

  it.each(['taken', 'broken'])(
    'work alone if other code has replaced what they share (%s)',
    async hostile => {
      const results = await runTwoCopies(hostile)
      expect(results).toMatchObject({
        'FdSet.from twice': 'EBUSY',
        received: 'from the other copy',
        'FdSet.from after take': 'accepted',
      })
    },
  )
})
