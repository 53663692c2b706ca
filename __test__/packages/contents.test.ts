import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const packages = join(root, 'target/packages')
const tarballs = readdirSync(packages).filter(file => file.endsWith('.tgz'))
const main = tarballs.find(file => /^fdwire-\d/.test(file)) as string
const platforms = tarballs.filter(file => file !== main)

const filesOf = (tarball: string): string[] =>
  execFileSync('tar', ['-tzf', join(packages, tarball)], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map(path => path.replace('package/', ''))

const readFrom = (tarball: string, file: string): string =>
  execFileSync('tar', ['-xzOf', join(packages, tarball), `package/${file}`], { encoding: 'utf8' })

describe('the main package', () => {
  const files = filesOf(main)
  const manifest = JSON.parse(readFrom(main, 'package.json'))

  it('contains JavaScript, types and documents, and nothing else', () => {
    const expected =
      /^(?:dist\/(?:index|lib\/.+)\.(?:js|d\.ts)|docs\/.+\.(?:md|svg)|native\.d\.ts|package\.json|LICENSE|[A-Z]+\.md)$/
    expect(files.filter(file => !expected.test(file))).toEqual([])
  })

  it('contains no addon, no tests, and no source of the addon', () => {
    expect(
      files.filter(file => /\.node$|__test__|\.test\.|\.rs$|Cargo|scripts/.test(file)),
    ).toEqual([])
  })

  it('is smaller than 1 MB', () => {
    expect(statSync(join(packages, main)).size).toBeLessThan(1_000_000)
  })

  it('has every file that its package.json names', () => {
    const named = JSON.stringify([manifest.exports, manifest.imports, manifest.bin ?? {}])
    for (const [, file] of named.matchAll(/"\.\/([^"]+)"/g)) {
      // A key of `exports` has no extension.
      if (/\.\w+$/.test(file as string)) expect(files).toContain(file)
    }
  })

  it('has no script that npm runs when it installs the package', () => {
    const names = ['preinstall', 'install', 'postinstall']
    expect(names.filter(name => name in manifest.scripts)).toEqual([])
    expect(manifest.dependencies).toBeUndefined()
  })

  it('has links in its README that lead to files of the package or of the repository', () => {
    // The registry's page resolves relative links against the repository.
    expect(manifest.repository.url).toMatch(/^git\+https:\/\/.+\.git$/)
    const links = [...readFrom(main, 'README.md').matchAll(/\]\(([^)\s#]+)[^)]*\)/g)]
    const relative = links.map(([, target]) => target as string).filter(to => !/^[a-z]+:/.test(to))
    expect(relative.length).toBeGreaterThan(5)
    expect(relative.filter(target => !existsSync(join(root, target)))).toEqual([])
  })

  it('has documents whose links to one another lead to files of the package', () => {
    const broken = files
      .filter(file => file.startsWith('docs/'))
      .flatMap(file =>
        [...readFrom(main, file).matchAll(/\]\(([^)\s#:]+\.md)[^)]*\)/g)]
          .map(([, target]) => normalize(join(dirname(file), target as string)))
          .filter(target => !target.startsWith('bench/') && !files.includes(target))
          .map(target => `${file} links to ${target}`),
      )
    expect(broken).toEqual([])
  })

  it('depends on exactly the platform packages, in its own version', () => {
    const manifests = platforms.map(tarball => JSON.parse(readFrom(tarball, 'package.json')))
    const expected = Object.fromEntries(manifests.map(({ name }) => [name, manifest.version]))
    expect(manifest.optionalDependencies).toEqual(expected)
    expect(manifests.map(({ version }) => version)).toEqual(manifests.map(() => manifest.version))
    expect(manifests).toHaveLength(4)
  })
})

describe.each(platforms)('the platform package %s', tarball => {
  it('contains one addon, its licences, and nothing else', () => {
    const { main: addon } = JSON.parse(readFrom(tarball, 'package.json'))
    const expected = ['LICENSE', 'README.md', 'THIRD_PARTY_NOTICES.md', addon, 'package.json']
    expect(filesOf(tarball).sort()).toEqual(expected.sort())
  })

  it('names the system on which npm installs it', () => {
    const { name, os, cpu, libc } = JSON.parse(readFrom(tarball, 'package.json'))
    const [, system, processor, abi] = /^@fdwire\/(\w+)-(\w+)-(\w+)$/.exec(name) ?? []
    expect({ os, cpu, libc }).toEqual({
      os: [system],
      cpu: [processor],
      libc: [abi === 'gnu' ? 'glibc' : 'musl'],
    })
  })
})
