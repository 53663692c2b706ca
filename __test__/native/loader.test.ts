import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const root = fileURLToPath(new URL('../..', import.meta.url))
const file = readdirSync(root).find(name => name.endsWith('.node')) as string
const addon = join(root, file)
const target = file.split('.')[1] as string

/** A project in which this package is installed without an addon. */
let project: string
const installed = (path: string) => join(project, 'node_modules', path)

beforeEach(() => {
  project = temporaryDirectory()
  mkdirSync(installed('fdwire'), { recursive: true })
  cpSync(join(root, 'dist'), installed('fdwire/dist'), { recursive: true })
  cpSync(join(root, 'package.json'), installed('fdwire/package.json'))
  rmSync(installed(`fdwire/dist/lib/native/${file}`))
})

interface Loaded {
  name?: string
  code?: string
  fault?: string
  message: string
  cause?: string
}

/** Imports the package in a new process; returns `{ message: 'loaded' }` or the error. */
function load(...args: string[]): Loaded {
  return loadWith({}, ...args)
}

function loadWith(env: NodeJS.ProcessEnv, ...args: string[]): Loaded {
  const program = `
    const result = await import('fdwire').then(
      () => ({ message: 'loaded' }),
      ({ name, code, fault, message, cause }) => ({ name, code, fault, message, cause: cause?.code }),
    )
    console.log(JSON.stringify(result))`
  const output = execFileSync(
    process.execPath,
    [...args, '--input-type=module', '--eval', program],
    { cwd: project, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  return JSON.parse(output.toString())
}

/** Options of Node with which a process believes to be on another system. */
function pretend(properties: Record<string, unknown>): string[] {
  const lines = Object.entries(properties).map(
    ([name, value]) =>
      `Object.defineProperty(process, '${name}', { value: ${JSON.stringify(value)} });`,
  )
  return ['--import', `data:text/javascript,${encodeURIComponent(lines.join(''))}`]
}

function installPlatformPackage(name: string): void {
  mkdirSync(installed(`@fdwire/${name}`), { recursive: true })
  const main = `fdwire.${name}.node`
  writeFileSync(installed(`@fdwire/${name}/package.json`), JSON.stringify({ name, main }))
  cpSync(addon, installed(`@fdwire/${name}/${main}`))
}

describe('the loader', () => {
  it('loads the addon of the platform package', () => {
    installPlatformPackage(target)
    expect(load()).toEqual({ message: 'loaded' })
  })

  it('loads the addon beside itself before that of the platform package', () => {
    installPlatformPackage(target)
    writeFileSync(installed(`@fdwire/${target}/${file}`), 'not an addon')
    cpSync(addon, installed(`fdwire/dist/lib/native/${file}`))
    expect(load()).toEqual({ message: 'loaded' })
  })

  it('loads the file that FDWIRE_ADDON names before all others', () => {
    installPlatformPackage(target)
    writeFileSync(installed(`@fdwire/${target}/${file}`), 'not an addon')
    expect(loadWith({ FDWIRE_ADDON: addon })).toEqual({ message: 'loaded' })
  })

  it('names the places in which it has looked, and the remedy, if there is no addon', () => {
    const error = load()
    expect(error).toMatchObject({ name: 'FdwireError', code: 'ERR_FDWIRE_LOAD', fault: 'system' })
    expect(error.message).toContain(`Cannot find the addon ${file}`)
    expect(error.message).toContain(installed(`fdwire/dist/lib/native/${file}: no such file`))
    expect(error.message).toMatch(new RegExp(`package @fdwire/${target}, .*: not installed`))
    expect(error.message).toContain('npm install without --omit=optional')
  })

  it('says that node_modules was installed on another system if it has the addon of one', () => {
    installPlatformPackage('linux-arm64-musl')
    expect(load().message).toMatch(/@fdwire\/linux-arm64-musl.*installed on another system/)
  })

  it('refuses a path in FDWIRE_ADDON that is relative or does not exist', () => {
    expect(loadWith({ FDWIRE_ADDON: 'some.node' }).message).toContain('not absolute')
    expect(loadWith({ FDWIRE_ADDON: join(project, 'some.node') }).message).toContain('no such file')
  })

  it('refuses an addon of another version, and names both versions', () => {
    installPlatformPackage(target)
    const version = installed('fdwire/dist/lib/native/version.js')
    const source = readFileSync(version, 'utf8')
    writeFileSync(version, source.replace(/'.*'/, "'99.0.0'"))
    const { code, message } = load()
    expect(code).toBe('ERR_FDWIRE_LOAD')
    expect(message).toMatch(/has version \d+\.\d+\.\d+, and fdwire has version 99\.0\.0/)
  })

  it('keeps the cause and says that the file is damaged if it is not an addon', () => {
    installPlatformPackage(target)
    writeFileSync(
      installed(`@fdwire/${target}/${file}`),
      'not an addon, but long enough for ELF'.repeat(9),
    )
    const { message, cause } = load()
    expect(message).toMatch(/Cannot load the addon .*invalid ELF header\. The file is damaged/)
    expect(cause).toBe('ERR_DLOPEN_FAILED')
  })

  it('names the option of Node that forbids addons', () => {
    installPlatformPackage(target)
    expect(load('--no-addons').message).toContain('Node runs with --no-addons: remove')
    const permission = process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission'
    const { message } = load(permission, '--allow-fs-read=*')
    expect(message).toContain('Node runs with --permission: add --allow-addons')
    expect(load(permission, '--allow-fs-read=*', '--allow-addons').message).toBe('loaded')
  })

  it.each([
    [{ platform: 'win32' }, /supports Linux .* This is win32 on .* WSL 2/],
    [{ platform: 'darwin' }, /supports Linux .* This is darwin on .* virtual machine/],
    [{ arch: 'riscv64' }, /supports Linux on x64 and arm64.* This is Linux on riscv64 .* build/],
  ])('says what is supported on %o', (system, message) => {
    const error = load(...pretend(system))
    expect(error.code).toBe('ERR_FDWIRE_LOAD')
    expect(error.message).toMatch(message)
  })

  it.each(['bun', 'deno'])('refuses %s before it looks for the addon', runtime => {
    const error = load(...pretend({ versions: { ...process.versions, [runtime]: '1.0.0' } }))
    expect(error.code).toBe('ERR_FDWIRE_UNSUPPORTED_RUNTIME')
  })
})
