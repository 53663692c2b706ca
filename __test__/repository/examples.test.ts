/** The examples: what each folder has, and that tests run it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { EXAMPLES, exampleNames, importsOf, packagesOf, sourcesOf } from '../support/examples.js'
import { testPath } from '../support/processes.js'

const ROOT = testPath('..')
const packageJson = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const index = readFileSync(join(EXAMPLES, 'README.md'), 'utf8')
const rows = [...index.matchAll(/^\| \[([\w-]+)\]\((.*?)\) \| .+ \| (\d+) \|$/gm)]

/** The tests that `npm test` runs. */
const tests = readdirSync(testPath('.'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.ts') && !/^(?:peers|packages|repository)\//.test(name))
  .map(name => readFileSync(testPath(name), 'utf8'))
  .join('\n')

it('the index lists every example once', () => {
  expect(rows.map(([, name]) => name).sort()).toEqual(exampleNames().sort())
})

describe.each(exampleNames())('the example %s', name => {
  const readme = readFileSync(join(EXAMPLES, name, 'README.md'), 'utf8')

  it('has a README of at most 25 lines that names its packages and links to the documents', () => {
    expect(readme).toMatch(/^# .+\n/)
    expect(readme.split('\n').length - 1).toBeLessThanOrEqual(25)
    expect(readme).toMatch(/\]\(\.\.\/\.\.\/docs\/[\w/]+\.md(?:#[\w-]+)?\)/)
    const [, packages = ''] = /npm install ([\w -]+\w)/.exec(readme) ?? []
    expect(packages.split(' ').sort()).toEqual(packagesOf(name).sort())
  })

  it('is in the index, with its number of lines', () => {
    const lines = sourcesOf(name)
      .map(file => readFileSync(join(EXAMPLES, name, file), 'utf8').split('\n').length - 1)
      .reduce((sum, count) => sum + count)
    const row = rows.find(([, one]) => one === name)
    expect(row?.slice(2)).toEqual([`${name}/README.md`, String(lines)])
  })

  it('is run by a test', () => {
    const isRun = tests.includes(`useExample('${name}')`) || tests.includes(`/examples/${name}/`)
    expect(isRun).toBe(true)
  })

  it('imports its own files, modules of Node, entries of fdwire and packages of the tests alone', () => {
    const entries = Object.keys(packageJson.exports).map(entry => join('fdwire', entry))
    const unknown = importsOf(name).filter(specifier => {
      if (specifier.startsWith('./')) return !sourcesOf(name).includes(specifier.slice(2))
      const [first = ''] = specifier.split('/')
      return !(
        specifier.startsWith('node:') ||
        entries.includes(specifier) ||
        (first !== 'fdwire' && first in packageJson.devDependencies)
      )
    })
    expect(unknown).toEqual([])
  })
})
