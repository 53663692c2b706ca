/** Loads the addon: exactly one file, or an error that says which, why not, and what to do. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FdwireError } from '../util/errors.js'
import {
  loadFailure,
  missingAddon,
  unsupportedSystem,
  wrongVariable,
  wrongVersion,
} from './load-errors.js'
import { type System, thisSystem } from './system.js'
import { VERSION } from './version.js'

/** The systems that have an addon: the suffix of its file and of its package. */
const TARGETS: readonly string[] = [
  'linux-x64-gnu',
  'linux-arm64-gnu',
  'linux-x64-musl',
  'linux-arm64-musl',
]

/**
 * The folder of this module, or of the bundle that contains it.
 *
 * A bundler that writes CommonJS removes `import.meta.url` and leaves `__dirname` to Node.
 */
const FOLDER: string | undefined = import.meta.url?.startsWith('file:')
  ? dirname(fileURLToPath(import.meta.url))
  : typeof __dirname === 'string'
    ? __dirname
    : undefined

/**
 * Loads the addon of this system and returns its exports.
 *
 * The file is the one that the environment variable `FDWIRE_ADDON` names, else the one beside this
 * module (in a checkout or beside a bundle), else the one of the platform package. Throws
 * ERR_FDWIRE_UNSUPPORTED_RUNTIME in Bun and Deno, otherwise ERR_FDWIRE_LOAD.
 */
export function loadAddon(): unknown {
  refuseOtherRuntimes()
  const system = thisSystem()
  const target = targetOf(system)
  if (target === undefined) throw unsupportedSystem(system)
  const file = findAddon(target)
  const module: { exports: { VERSION?: string } } = { exports: {} }
  try {
    process.dlopen(module, file)
  } catch (error) {
    throw loadFailure(file, system, error as Error)
  }
  const { VERSION: found } = module.exports
  if (found !== VERSION) throw wrongVersion(file, found)
  return module.exports
}

/**
 * Refuses Bun, which ends the process when an addon calls libuv, and Deno, which crashes when it
 * loads the addon.
 */
function refuseOtherRuntimes(): void {
  for (const [key, name] of [
    ['bun', 'Bun'],
    ['deno', 'Deno'],
  ] as const) {
    if (!(key in process.versions)) continue
    throw new FdwireError(
      'ERR_FDWIRE_UNSUPPORTED_RUNTIME',
      `fdwire needs Node 20.19 or newer: ${name} lacks the event loop (libuv) that the addon uses`,
    )
  }
}

function targetOf({ platform, arch, libc }: System): string | undefined {
  const target = `${platform}-${arch}-${libc === 'musl' ? 'musl' : 'gnu'}`
  return TARGETS.includes(target) ? target : undefined
}

/** Returns the absolute path of the addon. Throws ERR_FDWIRE_LOAD if there is none. */
function findAddon(target: string): string {
  const named = process.env.FDWIRE_ADDON
  if (named) {
    if (!isAbsolute(named)) throw wrongVariable(named, 'this path is not absolute')
    if (!existsSync(named)) throw wrongVariable(named, 'there is no such file')
    return named
  }
  const tried: string[] = []
  if (FOLDER !== undefined) {
    const beside = join(FOLDER, `fdwire.${target}.node`)
    if (existsSync(beside)) return beside
    tried.push(`${beside}: no such file`)
  }
  const name = `@fdwire/${target}`
  const from = FOLDER ?? process.cwd()
  const require = createRequire(join(from, 'loader.js'))
  try {
    return require.resolve(name)
  } catch (error) {
    const reason = isInstalled(require, name) ? (error as Error).message : 'not installed'
    tried.push(`package ${name}, looked up from ${from}: ${reason}`)
  }
  const others = TARGETS.filter(other => other !== target).filter(other =>
    isInstalled(require, `@fdwire/${other}`),
  )
  throw missingAddon(target, tried, others)
}

function isInstalled(require: NodeJS.Require, name: string): boolean {
  try {
    require.resolve(`${name}/package.json`)
    return true
  } catch {
    return false
  }
}
