// Runs the tests of the built package on the other supported versions of Node.
import { installNode } from './node-versions.mjs'
import { runAll } from './run.mjs'

const VERSIONS = ['22', '24', '26']
const current = process.versions.node.split('.')[0]

for (const version of VERSIONS.filter(version => version !== current)) {
  // The tests start children with `node` and with process.execPath: both must be this version.
  const env = { ...process.env, PATH: `${installNode(version)}:${process.env.PATH}` }
  runAll([
    ['node', ['--version'], { env }],
    ['node', ['node_modules/vitest/vitest.mjs', 'run'], { env }],
  ])
}
