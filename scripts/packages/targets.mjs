// The platform packages: what each contains and how its addon is built.
import { readFileSync } from 'node:fs'

/** The oldest glibc that the addon runs with: that of the official builds of Node 20. */
export const GLIBC = '2.28'

/**
 * The targets. `name` is the suffix of the package and of the file, `os`, `cpu` and `libc` are what
 * npm compares with the system, `rust` is Rust's name of the target.
 */
export const TARGETS = ['glibc', 'musl'].flatMap(libc =>
  ['x64', 'arm64'].map(cpu => {
    const abi = libc === 'glibc' ? 'gnu' : 'musl'
    const machine = cpu === 'x64' ? 'x86_64' : 'aarch64'
    const rust = `${machine}-unknown-linux-${abi}`
    const name = `linux-${cpu}-${abi}`
    return {
      name,
      package: `@fdwire/${name}`,
      os: 'linux',
      cpu,
      libc,
      rust,
      file: `fdwire.${name}.node`,
    }
  }),
)

/** Returns the parsed package.json of the main package. */
export function mainPackage() {
  return JSON.parse(readFileSync('package.json', 'utf8'))
}
