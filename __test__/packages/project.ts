/** An empty project in which the packed packages are installed. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll } from 'vitest'
// @ts-expect-error These scripts have no types.
import { installConsumers } from '../../scripts/packages/consumers.mjs'
// @ts-expect-error
import { installTarballs } from '../../scripts/packages/install-tarballs.mjs'

/** The folder of the tools, such as bundlers. */
const tools: string = installConsumers()

/** The path of a file of a tool. */
export const tool = (path: string): string => join(tools, 'node_modules', path)

/** A project with fdwire. It is removed after the tests of the file. */
export class Project {
  readonly folder = mkdtempSync(join(tmpdir(), 'fdwire-project-'))

  constructor() {
    installTarballs(this.folder)
    afterAll(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  write(files: Readonly<Record<string, string>>): void {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(this.folder, name)), { recursive: true })
      writeFileSync(join(this.folder, name), content)
    }
  }

  /**
   * Runs a program in the project and returns what it prints. Throws if it fails.
   *
   * PATH contains Node and no compiler.
   */
  run(command: string, args: readonly string[], options: { cwd?: string; env?: object } = {}) {
    return execFileSync(command, args, {
      cwd: join(this.folder, options.cwd ?? '.'),
      env: { HOME: this.folder, PATH: dirname(process.execPath), ...options.env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** Runs a JavaScript file with this version of Node. */
  node(...args: string[]): string {
    return this.run(process.execPath, args)
  }
}

/** A program that sends itself a message and prints what arrives. */
export const ECHO = `import { pair } from 'fdwire'
const [one, other] = pair({ protocol: 'jsoncomm' })
one.send('from fdwire', { fds: [0] })
const { value, fds } = await other.receive()
console.log(value, fds.length)
fds.close()
one.destroy()
other.destroy()
`

/** What it prints. */
export const PRINTED = 'from fdwire 1\n'

/** The same program in CommonJS. */
export const ECHO_CJS = `const { pair } = require('fdwire')
;(async () => {
${ECHO.split('\n').slice(1).join('\n')}})()
`
