/** The command lines of the programs in scripts/, bench/, stress/ and site/. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

const ROOT = testPath('..')
const PARSER = 'scripts/command-line.mjs'

const sources = spawnSync('git', ['ls-files', 'scripts', 'bench', 'stress', 'site'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .stdout.split('\n')
  .filter(file => file.endsWith('.mjs') && file !== PARSER)
  .map(file => ({ file, text: readFileSync(`${ROOT}/${file}`, 'utf8') }))
const programs = sources.filter(({ text }) => text.includes('parseCommandLine('))

function run(file: string, ...args: string[]) {
  const options = { cwd: ROOT, encoding: 'utf8', timeout: 120_000 } as const
  return spawnSync(process.execPath, [file, ...args], options)
}

describe('the command line of a program of the repository', () => {
  it('is parsed in one place', () => {
    expect(programs.length).toBeGreaterThan(10)
    expect(
      sources.filter(({ text }) => text.includes('parseArgs')).map(({ file }) => file),
    ).toEqual([])
  })

  it.each(programs.map(({ file }) => file))('is explained by %s --help', file => {
    const { status, stdout, stderr } = run(file, '--help')
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^[A-Z]/)
    expect(stdout).not.toMatch(/^(?:\/\/|import| ?\*)/m)
  })

  it.each(programs.map(({ file }) => file))(
    'is refused by %s if it has an unknown option',
    file => {
      const { status, stdout, stderr } = run(file, '--nonsense')
      expect([status, stdout]).toEqual([2, ''])
      expect(stderr).toMatch(/^Unknown option '--nonsense'\n\n[A-Z]/)
    },
  )

  it.each([
    ['scripts/fuzz.mjs', ['--seconds', 'x'], "--seconds must be a positive number, not 'x'"],
    ['stress/main.mjs', ['--kills', '0'], "--kills must be a positive number, not '0'"],
    ['bench/run.mjs', ['--rounds', '1.5'], "--rounds must be a positive integer, not '1.5'"],
    ['scripts/memory.mjs', ['--only', 'x'], "--only must be one of asan, valgrind, miri, not 'x'"],
    ['scripts/fuzz.mjs', ['x'], /^An argument must be one of .*, lines, .*, not 'x'\n/],
    ['bench/run.mjs', ['--only', 'x{9}'], '--only x{9} matches no group, title or contender'],
  ])('is refused by %s with the wrong value %j', (file, args, problem) => {
    const { status, stderr } = run(file, ...args)
    expect(status).toBe(2)
    const [line = ''] = stderr.split('\n')
    if (typeof problem === 'string') expect(line).toBe(problem)
    else expect(stderr).toMatch(problem)
  })
})
