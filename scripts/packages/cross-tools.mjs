// Installs what building for another system needs: the cross compiler under target/, and Rust's
// standard library of the target.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'

const HOME = resolve('target/zig-tools')
const REQUIREMENTS = 'scripts/packages/requirements.txt'

/** Returns the environment in which `cargo zigbuild` works. Installs it if it is missing. */
export function crossEnvironment() {
  const stamp = `${HOME}/requirements.txt`
  const requirements = readFileSync(REQUIREMENTS, 'utf8')
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== requirements) {
    rmSync(HOME, { recursive: true, force: true })
    const pip = [
      '-m',
      'pip',
      '--disable-pip-version-check',
      '--no-input',
      'install',
      '--quiet',
      '--root-user-action=ignore',
    ]
    // With --target, pip needs no virtual environment, for which Debian has a separate package.
    run('python3', [...pip, '--require-hashes', '--target', HOME, '-r', REQUIREMENTS])
    writeFileSync(stamp, requirements)
  }
  return {
    ...process.env,
    PATH: `${HOME}/bin:${process.env.PATH}`,
    CARGO_ZIGBUILD_ZIG_PATH: `${HOME}/ziglang/zig`,
  }
}

/** Installs Rust's standard library of a target, if rustup manages Rust. */
export function addRustTarget(rust) {
  const libraries = execFileSync('rustc', ['--print', 'target-libdir', '--target', rust])
  if (!existsSync(libraries.toString().trim())) run('rustup', ['target', 'add', rust])
}

/** Runs a command. Throws if it fails. Its output goes to stderr. */
export function run(command, args, options = {}) {
  execFileSync(command, args, { stdio: ['ignore', 2, 2], ...options })
}
