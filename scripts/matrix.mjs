// Runs the tests of the built package on the other versions of Node, which come as npm packages.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { runAll } from './run.mjs'

const VERSIONS = ['22', '24', '26']
const current = process.versions.node.split('.')[0]

for (const version of VERSIONS.filter(version => version !== current)) {
  const home = `${process.cwd()}/target/node-${version}`
  const binary = `${home}/node_modules/node-linux-${process.arch}/bin/node`
  if (!existsSync(binary)) {
    mkdirSync(home, { recursive: true })
    writeFileSync(`${home}/package.json`, '{ "private": true }\n')
    const install = ['install', '--no-audit', '--no-fund', `node-linux-${process.arch}@${version}`]
    const { status } = spawnSync('npm', install, { cwd: home, stdio: ['ignore', 2, 2] })
    if (status !== 0) process.exit(1)
  }
  // Children are started as `node` or by process.execPath: both are this version.
  const env = {
    ...process.env,
    PATH: `${home}/node_modules/node-linux-${process.arch}/bin:${process.env.PATH}`,
  }
  runAll([
    ['node', ['--version'], { env }],
    ['node', ['node_modules/vitest/vitest.mjs', 'run'], { env }],
  ])
}
