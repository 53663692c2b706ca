/** Examples, copied to a project of their own: they run outside the repository, as a user's copy does. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { testPath } from './processes.js'

const ROOT = testPath('..')
export const EXAMPLES = join(ROOT, 'examples')

/** Whether this Node runs TypeScript. Others get the JavaScript that the compiler makes of it. */
const runsTypeScript = Boolean((process.features as { typescript?: unknown }).typescript)

/** Returns the names of all examples. */
export const exampleNames = (): string[] =>
  readdirSync(EXAMPLES, { withFileTypes: true })
    .filter(entry => entry.isDirectory())
    .map(entry => entry.name)

/** Returns the programs of an example, by name. */
export const sourcesOf = (example: string): string[] =>
  readdirSync(join(EXAMPLES, example)).filter(name => /\.(?:mjs|mts|py)$/.test(name))

/** Returns what the programs of an example import. */
export function importsOf(example: string): string[] {
  const imports = sourcesOf(example)
    .filter(name => !name.endsWith('.py'))
    .map(name => readFileSync(join(EXAMPLES, example, name), 'utf8'))
    .flatMap(source => [...source.matchAll(/(?:^import|\bfrom|\bimport\() ?'([^']+)'/gm)])
    .map(([, specifier]) => specifier as string)
  return [...new Set(imports)]
}

/** Returns the packages that an example needs, fdwire among them. */
export const packagesOf = (example: string): string[] => [
  ...new Set(
    importsOf(example)
      .filter(specifier => !/^(?:node:|\.)/.test(specifier))
      .map(specifier => specifier.split('/')[0] as string),
  ),
]

/**
 * Installs a copy of an example for the tests of a file, and returns how to find its programs:
 * `file('client')`. Programs in TypeScript are compiled, which checks their types.
 */
export function useExample(example: string): (program: string) => string {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), `fdwire-example-${example}-`))
    cpSync(join(EXAMPLES, example), folder, { recursive: true })
    const modules = join(folder, 'node_modules')
    for (const name of [...packagesOf(example), '@types']) {
      mkdirSync(dirname(join(modules, name)), { recursive: true })
      symlinkSync(name === 'fdwire' ? ROOT : join(ROOT, 'node_modules', name), join(modules, name))
    }
    if (sourcesOf(example).some(name => name.endsWith('.mts'))) compile(folder)
  }, 120_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return program => {
    const names = readdirSync(folder)
    const extension = ['.mts', '.mjs'].find(
      one => names.includes(program + one) && (one !== '.mts' || runsTypeScript),
    )
    if (extension === undefined) throw new Error(`The example ${example} has no program ${program}`)
    return join(folder, program + extension)
  }
}

function compile(folder: string): void {
  const project = {
    extends: join(EXAMPLES, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      rootDir: '.',
      outDir: '.',
      typeRoots: ['node_modules/@types'],
    },
    include: ['*.mts'],
    exclude: ['node_modules'], // not the folder of the output, which is that of the programs
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(project))
  const tsc = join(ROOT, 'node_modules', '.bin', 'tsc')
  execFileSync(tsc, ['--project', folder], { stdio: ['ignore', 'inherit', 'inherit'] })
}
