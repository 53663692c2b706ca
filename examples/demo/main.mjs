// The demo: a server passes open descriptors to a client, over a Unix socket.
//
//   main.mjs    starts both processes, waits for them, and removes their directory
//   server.mjs  opens what the client requests, and sends the descriptors
//   client.mjs  opens nothing itself, and uses the descriptors that it receives
//   helper.py   creates a memfd and a pipe for the server, because Node cannot
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

const children = []
let interrupted

// On Ctrl-C, the children are stopped first. The directory is removed once they have exited.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = signal
    for (const child of children) child.kill()
  })
}

const directory = mkdtempSync(join(tmpdir(), 'fdwire-demo-'))
try {
  console.log(`demo    Starting two processes that communicate over ${directory}/demo.sock\n`)
  const server = start('server.mjs')
  await Promise.race([once(server, 'message'), server.ended]) // 'message': it is bound
  if (server.exitCode === null && !interrupted) await start('client.mjs').ended
  await server.ended
} finally {
  rmSync(directory, { recursive: true })
}

if (interrupted) {
  console.log('\ndemo    Interrupted. Both processes have exited, and their directory is removed.')
  process.exitCode = 128 + constants.signals[interrupted]
} else if (children.length < 2 || children.some(child => child.exitCode !== 0)) {
  console.log('\ndemo    The demo failed; see above.')
  process.exitCode = 1
} else {
  console.log('\ndemo    Both processes have exited, and their directory is removed.')
}

/** Starts a process. Its `ended` resolves when it has exited or could not be started. */
function start(script) {
  // Node's IPC only carries "ready", and lets the child notice the exit of this process.
  const child = fork(new URL(script, import.meta.url), [directory])
  child.ended = new Promise(resolve => child.once('exit', resolve))
  child.ended.then(() => {
    // Ctrl-C reaches all processes, and this one may learn of the child's end first.
    if (child.signalCode === 'SIGINT') interrupted ??= 'SIGINT'
    // If one process fails, the other one would wait for it forever.
    if (child.exitCode !== 0) for (const other of children) other.kill()
  })
  children.push(child)
  return child
}
