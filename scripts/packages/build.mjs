// Builds the addons of the platform packages: target/packages/addons/fdwire.<target>.node.
// Arguments: names of targets (default: all).
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { parseCommandLine } from '../command-line.mjs'
import { addRustTarget, crossEnvironment, run } from './cross-tools.mjs'
import { GLIBC, TARGETS } from './targets.mjs'

process.chdir(new URL('../..', import.meta.url).pathname)

const ADDONS = 'target/packages/addons'
/** Cargo's folder. It differs from that of the host's build, which other flags would invalidate. */
const TARGET_DIR = 'target/zig'

const { names } = parseCommandLine(
  import.meta.url,
  {},
  TARGETS.map(({ name }) => name),
)

mkdirSync(ADDONS, { recursive: true })
for (const target of TARGETS) {
  if (names.length > 0 && !names.includes(target.name)) continue
  console.log(`Building ${target.file}`)
  build(target)
  check(target)
}

function build({ rust, libc, file }) {
  addRustTarget(rust)
  const triple = libc === 'glibc' ? `${rust}.${GLIBC}` : rust
  const args = ['zigbuild', '--release', '--locked', '--quiet', '--package=fdwire-node']
  const env = crossEnvironment()
  // Node loads the addon, so it must use the musl of its process instead of containing one.
  if (libc === 'musl') env.RUSTFLAGS = '-C target-feature=-crt-static'
  run('cargo', [...args, `--target=${triple}`, `--target-dir=${TARGET_DIR}`], { env })
  copyFileSync(`${TARGET_DIR}/${rust}/release/libfdwire_node.so`, `${ADDONS}/${file}`)
}

/** Checks that the addon needs only the C library, and no newer one than promised. */
function check({ libc, file }) {
  const dump = option =>
    execFileSync('objdump', [option, `${ADDONS}/${file}`], { encoding: 'utf8' })
  const needed = [...dump('-p').matchAll(/^ +NEEDED +(\S+)/gm)].map(([, name]) => name)
  const allowed =
    libc === 'glibc'
      ? /^(?:lib(?:c|m|dl|pthread|rt)\.so\.\d|ld-linux-.*|libgcc_s\.so\.1)$/
      : /^libc\.so$/
  const others = needed.filter(name => !allowed.test(name))
  if (others.length > 0) throw new Error(`${file} needs ${others.join(', ')}`)

  const versions = [...dump('-T').matchAll(/\bGLIBC_([\d.]+)/g)].map(([, version]) => version)
  const newest = versions.sort(compareVersions).at(-1)
  if (libc === 'musl' && newest !== undefined) throw new Error(`${file} needs glibc ${newest}`)
  if (libc === 'glibc' && (newest === undefined || compareVersions(newest, GLIBC) > 0)) {
    throw new Error(`${file} needs glibc ${newest}, and may need ${GLIBC} at most`)
  }
  console.log(
    `  needs ${needed.join(', ')}${newest === undefined ? '' : `; glibc ${newest} or newer`}`,
  )
}

function compareVersions(one, other) {
  return one.localeCompare(other, 'en', { numeric: true })
}
