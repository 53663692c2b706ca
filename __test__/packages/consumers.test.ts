import { once } from 'node:events'
import { readFileSync, symlinkSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
// @ts-expect-error This script has no types.
import { installNode } from '../../scripts/node-versions.mjs'
import { ECHO, ECHO_CJS, PRINTED, Project, tool } from './project.js'

const project = new Project()
project.write({ 'echo.mjs': ECHO, 'echo.cjs': ECHO_CJS })

const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8')
const programs = [...readme.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, code]) => code as string)

describe.each(['20', '22', '24', '26'])('Node %s', version => {
  const node = `${installNode(version)}/node`

  it('imports the package, and requires it', () => {
    expect(project.run(node, ['echo.mjs'])).toBe(PRINTED)
    expect(project.run(node, ['echo.cjs'])).toBe(PRINTED)
  })

  it.each(programs.map((code, index) => [index + 1, code] as const))(
    "runs the README's program %i",
    (index, code) => {
      project.write({ [`readme-${index}.mjs`]: code })
      const expected = documentedOutput(code)
      const printed = project.run(node, [`readme-${index}.mjs`])
      if (expected !== '') expect(printed).toBe(expected)
    },
  )

  it("runs the README's server and client", () => {
    const [server = '', client = ''] = ['server', 'client'].map(
      kind => new RegExp(`^\`\`\`js ${kind}\\n(.*?)^\`\`\``, 'ms').exec(readme)?.[1],
    )
    project.write({ 'server.mjs': server, 'client.mjs': client })
    const both = "await import('./server.mjs'); await import('./client.mjs'); process.exit()"
    const printed = project.run(node, ['--input-type=module', '--eval', both])
    expect(printed).toBe(documentedOutput(server + client))
    expect(printed).toContain('{ ok: true }')
  })

  it('runs a test of node:test', () => {
    project.write({ 'node.test.mjs': `import test from 'node:test'\n${inTest('test')}` })
    expect(project.run(node, ['--test', 'node.test.mjs'])).toMatch(/pass 1/)
  })
})

describe.each([
  ['5.6', 'typescript-oldest'],
  ['5.9', 'typescript'],
])('TypeScript %s', (_version, name) => {
  it.each([
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])('accepts the types with --module %s --moduleResolution %s', (module, resolution) => {
    const { exports } = JSON.parse(readFileSync(join(project.folder, MANIFEST), 'utf8'))
    const entries = Object.keys(exports).filter(entry => entry !== './package.json')
    const imports = entries.map(
      (entry, index) => `import * as m${index} from '${entry.replace('.', 'fdwire')}'`,
    )
    const used = `export { ${entries.map((_, index) => `m${index}`).join(', ')} }`
    const typed = `import { connect, type Channel } from 'fdwire'
      export const channel: Channel<string> = await connect('a.sock', { protocol: 'lines' })`
    project.write({ 'types.ts': [...imports, used, typed].join('\n') })
    const options = ['--noEmit', '--strict', '--skipLibCheck', 'false', '--target', 'es2022']
    const types = ['--typeRoots', tool('@types'), '--types', 'node']
    const modules = ['--module', module, '--moduleResolution', resolution]
    expect(
      project.node(tool(`${name}/bin/tsc`), ...options, ...types, ...modules, 'types.ts'),
    ).toBe('')
  })
})

const MANIFEST = 'node_modules/fdwire/package.json'

/** Returns what the comments `// → …` of a program say that it prints. */
function documentedOutput(code: string): string {
  return [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, line]) => `${line}\n`).join('')
}

/** A test that sends itself a message. */
function inTest(test: string): string {
  return `import { pair } from 'fdwire'
    ${test}('fdwire', async () => {
      const [one, other] = pair({ protocol: 'jsoncomm' })
      one.send('sent')
      const { value } = await other.receive()
      if (value !== 'sent') throw new Error(value)
      one.destroy()
      other.destroy()
    })`
}

describe('the package works in', () => {
  it('tsx', () => {
    project.write({ 'echo.ts': ECHO.replace('other.receive()', '(other.receive() as any)') })
    expect(project.node(tool('tsx/dist/cli.mjs'), 'echo.ts')).toBe(PRINTED)
  })

  it('vitest', () => {
    symlinkSync(tool('vitest'), join(project.folder, 'node_modules/vitest'))
    project.write({ 'v.test.mjs': `import { test } from 'vitest'\n${inTest('test')}` })
    const vitest = tool('vitest/vitest.mjs')
    expect(project.node(vitest, 'run', 'v.test.mjs')).toContain('1 passed')
  })

  it('jest with ESM', () => {
    project.write({
      'jest/a.test.mjs': inTest('test'),
      'jest.config.json': JSON.stringify({ testMatch: ['**/jest/*.mjs'], transform: {} }),
    })
    const jest = ['--experimental-vm-modules', tool('jest/bin/jest.js'), '--json']
    expect(JSON.parse(project.node(...jest)).numPassedTests).toBe(1)
  })

  it('piscina', () => {
    const piscina = `import piscina from '${tool('piscina/dist/main.js')}'
      const pool = new piscina.Piscina({ filename: new URL('work.mjs', import.meta.url).href })
      console.log(await Promise.all([1, 2, 3].map(n => pool.run(n))))
      await pool.destroy()`
    const work = `import { pair } from 'fdwire'
      export default async n => {
        const [one, other] = pair({ protocol: 'jsoncomm' })
        one.send(n)
        const { value } = await other.receive()
        one.destroy()
        other.destroy()
        return value
      }`
    project.write({ 'pool.mjs': piscina, 'work.mjs': work })
    expect(project.node('pool.mjs')).toBe('[ 1, 2, 3 ]\n')
  })

  it('a process with --permission and --allow-addons', () => {
    const permission = process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission'
    const allowed = ['--allow-addons', `--allow-fs-read=${project.folder}/*`]
    expect(project.node('--no-warnings', permission, ...allowed, 'echo.mjs')).toBe(PRINTED)
  })
})

describe('the package refuses', () => {
  const program = `import('fdwire').catch(error => console.log(error.code))`
  const arch = process.arch === 'x64' ? 'x64' : 'aarch64'

  it.each([
    ['Bun', tool(`@oven/bun-linux-${arch}/bin/bun`), ['runtime.mjs']],
    ['Deno', tool('.bin/deno'), ['run', '--allow-all', '--quiet', 'runtime.mjs']],
  ])('%s', (_name, command, args) => {
    project.write({ 'runtime.mjs': program })
    expect(project.run(command, args)).toBe('ERR_FDWIRE_UNSUPPORTED_RUNTIME\n')
  })
})

describe('pm2 in cluster mode', () => {
  it('runs several processes that share a server, each with its own channels', async () => {
    const program = `import { createServer } from 'node:http'
      import { pair } from 'fdwire'
      const [one, other] = pair({ protocol: 'jsoncomm' })
      other.on('message', value => other.send(value + 1))
      createServer(async (request, response) => {
        const { value } = await one.request(1)
        response.setHeader('connection', 'close')
        response.end(process.env.NODE_APP_INSTANCE + ' ' + value)
      }).listen('server.sock')`
    project.write({ 'server.mjs': program })
    const pm2 = (...args: string[]) =>
      project.run(process.execPath, [tool('pm2/bin/pm2'), ...args], {
        env: { PM2_HOME: join(project.folder, '.pm2') },
      })
    pm2('start', 'server.mjs', '--instances', '2')
    try {
      const answers = new Set<string>()
      await expect
        .poll(async () => collect(answers, await get(join(project.folder, 'server.sock'))), {
          timeout: 30_000,
        })
        .toBe(2)
      expect([...answers].sort()).toEqual(['0 2', '1 2'])
    } finally {
      pm2('kill')
    }
  })
})

/** Adds an answer, if there is one, and returns the number of different answers. */
function collect(answers: Set<string>, answer: string): number {
  return answer === '' ? answers.size : answers.add(answer).size
}

/** Returns the response of an HTTP server at a Unix socket; '' while it does not listen yet. */
async function get(socketPath: string): Promise<string> {
  const response = request({ socketPath }).end()
  return once(response, 'response').then(
    ([message]) => text(message),
    () => '',
  )
}
