import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { COMMANDS } from '../../lib/cli/commands.js'
import { newShell } from './shell.js'

const page = readFileSync(fileURLToPath(new URL('../../docs/cli.md', import.meta.url)), 'utf8')

/** The transcripts of the page: the commands after `$ `, and what they print. */
const transcripts = COMMANDS.map(({ name }) => {
  const section = page.slice(page.indexOf(`\n## ${name}\n`))
  const [, , block = ''] = section.split('```console\n')
  const lines = block.slice(0, block.indexOf('```')).trimEnd().split('\n')
  return {
    name,
    script: lines.filter(line => line.startsWith('$ ')).map(line => line.slice(2)),
    printed: lines.filter(line => !line.startsWith('$ ')),
  }
})

/**
 * Replaces what differs from run to run. The lines of several processes have no fixed order, so
 * they are sorted.
 */
function comparable(lines: readonly string[], folder: string): string[] {
  return lines
    .map(line =>
      line
        .replace(folder, '/home/user')
        .replace(/\bpid \d+|[\w-]+\[\d+\]/g, 'pid')
        .replace(/@[\da-f]{5}\b/g, '@name')
        .replace(/\b\d+\.\d{3}\b/g, 'time')
        .replace(/ +/g, ' '),
    )
    .sort()
}

/** The names of a table: its figures are those of a machine. */
function names(lines: readonly string[]): string[] {
  return lines.flatMap(line => /^(?:(?:ok|note|problem) +)?([\w.:]+)/.exec(line)?.[1] ?? [])
}

describe.each(transcripts)('the transcript of fdwire $name', ({ name, script, printed }) => {
  it('is what the commands print', async () => {
    expect(script.length).toBeGreaterThan(0)
    const shell = newShell()
    const { stdout, stderr, code } = await shell.run(script.join('\n'))
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    const lines = stdout.trimEnd().split('\n')
    if (name === 'doctor' || name === 'bench') {
      expect(names(lines)).toEqual(expect.arrayContaining(names(printed)))
      expect(names(printed).length).toBeGreaterThan(2)
    } else {
      expect(comparable(lines, shell.folder)).toEqual(comparable(printed, shell.folder))
    }
  })
})
