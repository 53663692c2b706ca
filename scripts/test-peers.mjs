// Runs the tests with large programs that pass descriptors, which `npm test` does not install.
import { requirePrograms } from './programs.mjs'
import { runAll } from './run.mjs'

requirePrograms('The tests with other programs', [
  { name: 'haproxy', test: ['haproxy', ['-v']] },
  { name: 'qemu-system-x86', test: ['qemu-system-x86_64', ['--version']] },
  { name: 'runc', test: ['runc', ['--version']] },
  { name: 'weston', test: ['weston', ['--version']] },
])
runAll([['vitest', ['run', '--config=vitest.peers.config.ts']]])
