import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, realpathSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ECHO, ECHO_CJS, PRINTED, Project, tool } from './project.js'

const project = new Project()
project.write({ 'echo.mjs': ECHO, 'echo.cjs': ECHO_CJS })
const path = (name: string) => join(project.folder, name)

const rollup = (external: boolean) => `
  import { nodeResolve } from '${tool('@rollup/plugin-node-resolve/dist/es/index.js')}'
  export default {
    input: 'echo.mjs',
    output: { file: 'out/bundle.mjs', format: 'esm', inlineDynamicImports: true },
    external: [/^node:/${external ? ", 'fdwire'" : ''}],
    plugins: [nodeResolve({ preferBuiltins: true })],
  }`

const webpack = (external: boolean) => `
  export default {
    entry: './echo.mjs',
    target: 'node20',
    mode: 'production',
    experiments: { outputModule: true },
    output: { path: '${path('out')}', filename: 'bundle.mjs', module: true },
    ${external ? "externals: { fdwire: 'module fdwire' }," : ''}
  }`

const vite = (external: boolean) => `
  export default {
    build: { ssr: 'echo.mjs', outDir: 'out', rollupOptions: { output: { entryFileNames: 'bundle.mjs' } } },
    ssr: ${external ? "{ external: ['fdwire'] }" : '{ noExternal: true }'},
    logLevel: 'error',
  }`

/** Each bundler writes out/bundle.mjs or out/bundle.cjs. */
const BUNDLERS: Readonly<Record<string, (external: boolean) => void>> = {
  esbuild(external) {
    const options = ['--bundle', '--platform=node', '--format=esm', '--outfile=out/bundle.mjs']
    const excluded = external ? ['--external:fdwire'] : []
    project.run(tool('.bin/esbuild'), ['echo.mjs', ...options, ...excluded])
  },
  'esbuild (CommonJS)'(external) {
    const options = ['--bundle', '--platform=node', '--format=cjs', '--outfile=out/bundle.cjs']
    const excluded = external ? ['--external:fdwire'] : []
    project.run(tool('.bin/esbuild'), ['echo.cjs', ...options, ...excluded, '--log-level=error'])
  },
  rollup(external) {
    project.write({ 'rollup.config.mjs': rollup(external) })
    project.node(tool('rollup/dist/bin/rollup'), '--config', 'rollup.config.mjs', '--silent')
  },
  webpack(external) {
    project.write({ 'webpack.config.mjs': webpack(external) })
    project.node(tool('webpack/bin/webpack.js'), '--config', 'webpack.config.mjs')
  },
  vite(external) {
    project.write({ 'vite.config.mjs': vite(external) })
    project.node(tool('vite/bin/vite.js'), 'build', '--config', 'vite.config.mjs')
  },
}

const bundle = () => {
  const name = readdirSync(path('out')).find(file => file.startsWith('bundle.')) as string
  return `out/${name}`
}

beforeEach(() => mkdirSync(path('out'), { recursive: true }))
afterEach(() => execFileSync('rm', ['-rf', path('out')]))

describe.each(Object.entries(BUNDLERS))('a bundle of %s', (name, build) => {
  it('works with fdwire as external package', () => {
    build(true)
    expect(project.node(bundle())).toBe(PRINTED)
  })

  it(name === 'webpack' ? 'works with FDWIRE_ADDON' : 'works with the addon beside it', () => {
    build(false)
    // Without node_modules, as after a deployment of the bundle alone.
    renameSync(path('node_modules'), path('elsewhere'))
    try {
      expect(() => project.node(bundle())).toThrow(/ERR_FDWIRE_LOAD/)
      const [system] = readdirSync(path('elsewhere/@fdwire')) as [string]
      const file = `fdwire.${system}.node`
      const addon = path(`elsewhere/@fdwire/${system}/${file}`)
      const env = name === 'webpack' ? { FDWIRE_ADDON: addon } : {}
      if (name !== 'webpack') copyFileSync(addon, path(`out/${file}`))
      expect(project.run(process.execPath, [bundle()], { env })).toBe(PRINTED)
    } finally {
      renameSync(path('elsewhere'), path('node_modules'))
    }
  })
})

describe('a single executable application', () => {
  it('loads the addon beside the executable, and names that place if it is missing', () => {
    BUNDLERS['esbuild (CommonJS)']?.(false)
    const settings = {
      main: 'out/bundle.cjs',
      output: 'out/blob',
      disableExperimentalSEAWarning: true,
    }
    project.write({ 'sea.json': JSON.stringify(settings) })
    project.node('--experimental-sea-config', 'sea.json')
    copyFileSync(realpathSync(process.execPath), path('out/app'))
    const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'
    const args = ['out/app', 'NODE_SEA_BLOB', 'out/blob', '--sentinel-fuse', fuse]
    project.run(process.execPath, [tool('postject/dist/cli.js'), ...args])
    renameSync(path('node_modules'), path('elsewhere'))
    try {
      const [system] = readdirSync(path('elsewhere/@fdwire')) as [string]
      const file = `fdwire.${system}.node`
      expect(() => project.run(path('out/app'), [])).toThrow(path(`out/${file}: no such file`))
      copyFileSync(path(`elsewhere/@fdwire/${system}/${file}`), path(`out/${file}`))
      expect(project.run(path('out/app'), [])).toBe(PRINTED)
    } finally {
      renameSync(path('elsewhere'), path('node_modules'))
    }
  })
})
