/** The errors of loading the addon, with their remedies. */
import { FdwireError } from '../util/errors.js'
import type { System } from './system.js'
import { VERSION } from './version.js'

/** Where the package's documentation describes each of these cases. */
const PAGE = 'docs/install.md'

/** Returns the error of a file that FDWIRE_ADDON names and that cannot be loaded. */
export function wrongVariable(named: string, reason: string): FdwireError {
  return loadError(
    `FDWIRE_ADDON names ${named}: ${reason}. Set it to the absolute path of the addon, or unset it.`,
  )
}

/** Returns the error of a system for which there is no addon. */
export function unsupportedSystem({ platform, arch, libc }: System): FdwireError {
  const here = platform === 'linux' ? `Linux on ${arch} with ${libc}` : `${platform} on ${arch}`
  const remedies: Record<string, string> = {
    win32: ' On Windows, run Node inside WSL 2.',
    darwin: ' On macOS, run Node inside a Linux container or virtual machine.',
    linux: ' On another processor, build fdwire from a clone of its repository.',
  }
  return loadError(
    'fdwire supports Linux on x64 and arm64, with glibc 2.28 or newer or with musl. ' +
      `This is ${here}.${remedies[platform] ?? ''}`,
  )
}

/** Returns the error of an addon that is in none of the places `tried`. */
export function missingAddon(
  target: string,
  tried: readonly string[],
  others: readonly string[],
): FdwireError {
  const remedy =
    others.length > 0
      ? `node_modules contains @fdwire/${others.join(', @fdwire/')}, so it was installed on another ` +
        'system: run npm install (or npm ci) on this one.'
      : `Run npm install without --omit=optional and without --no-optional. In a bundle, mark ` +
        `fdwire as external, or copy fdwire.${target}.node beside the bundle.`
  return loadError(
    `Cannot find the addon fdwire.${target}.node. Tried:\n` +
      tried.map(place => `  - ${place}\n`).join('') +
      `${remedy} See ${PAGE}.`,
  )
}

/** Returns the error of an addon that is not of this version of the package. */
export function wrongVersion(file: string, found: string | undefined): FdwireError {
  return loadError(
    `The addon ${file} has version ${found ?? 'unknown'}, and fdwire has version ${VERSION}. ` +
      'Install both again with the same version: remove node_modules and run npm install. ' +
      'In a bundle, copy the addon of this version beside it.',
  )
}

/** Causes of a failed dlopen(3), recognised by its message, and their remedies. */
const CAUSES: readonly (readonly [RegExp, (system: System) => string])[] = [
  [
    /GLIBC_[\d.]+' not found/,
    () =>
      'The glibc of this system is too old. The published addons need 2.28; one that was built from ' +
      'source needs that of the system on which it was built.',
  ],
  [
    /libc\.musl|ld-musl|libc\.so: |__\w+: symbol not found|Error relocating/,
    ({ libc }) =>
      `The addon is built for another C library than that of this process (${libc}). Run npm install ` +
      'with the Node that will load it.',
  ],
  [
    /invalid ELF header|file too short|wrong ELF class|Exec format|\.node: cannot open shared object file/,
    () => 'The file is damaged or for another processor: remove node_modules and run npm install.',
  ],
  [
    /failed to map segment|Operation not permitted/,
    () => 'The file system forbids execution (mounted with noexec): install fdwire on another one.',
  ],
  [
    /Permission denied|EACCES/,
    () => 'This user may not read the file: change its permissions or those of its directory.',
  ],
]

/** Returns the error of a file that the process cannot load. */
export function loadFailure(file: string, system: System, cause: Error): FdwireError {
  const text = cause.message.replace(/\.$/, '')
  const remedy = CAUSES.find(([pattern]) => pattern.test(text))?.[1](system)
  return loadError(
    `Cannot load the addon ${file}: ${text}. ${disabledReason(cause) ?? remedy ?? `See ${PAGE}.`}`,
    cause,
  )
}

/** Returns what to do if Node itself refuses addons; undefined if it does not. */
function disabledReason(cause: Error & { code?: string }): string | undefined {
  if (cause.code !== 'ERR_DLOPEN_DISABLED') return undefined
  return 'permission' in process && process.permission !== undefined
    ? 'Node runs with --permission: add --allow-addons.'
    : 'Node runs with --no-addons: remove this option, also from NODE_OPTIONS.'
}

function loadError(message: string, cause?: Error): FdwireError {
  return new FdwireError('ERR_FDWIRE_LOAD', message, cause === undefined ? {} : { cause })
}
