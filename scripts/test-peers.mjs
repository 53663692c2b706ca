// Runs the tests with programs that `npm test` does not install.
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { installLocked } from './locked-packages.mjs'
import { requirePrograms } from './programs.mjs'
import { runAll } from './run.mjs'

requirePrograms('The tests with other programs', [
  { name: 'haproxy', test: ['haproxy', ['-v']] },
  { name: 'qemu-system-x86', test: ['qemu-system-x86_64', ['--version']] },
  { name: 'runc', test: ['runc', ['--version']] },
  { name: 'weston', test: ['weston', ['--version']] },
  // sd-notify is compiled with it.
  { name: 'libsystemd-dev', test: ['test', ['-e', '/usr/include/systemd/sd-daemon.h']] },
])
// unix-dgram, usocket and sd-notify are native addons for one version of Node. Their build needs Node's
// header files, which most installations have; without them, node-gyp downloads them.
const node = dirname(dirname(process.execPath))
if (existsSync(`${node}/include/node/node.h`)) process.env.npm_config_nodedir = node
installLocked('scripts/peers', 'target/peers', [], process.version)
runAll([['vitest', ['run', '--config=vitest.peers.config.ts']]])
