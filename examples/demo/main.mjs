// The demo: two processes meet on a path, and one passes the other what it has open.
//
//   main.mjs    starts both, waits for them, and removes their directory
//   server.mjs  opens what it is asked for, and sends the open descriptors
//   client.mjs  opens nothing, and uses what it gets
//   helper.py   makes a memfd and a pipe for the server, which Node cannot make
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

const children = []
let interrupted

// On ctrl-C the children go first, then what they had in the directory.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    interrupted = signal
    for (const child of children) child.kill()
  })
}

const directory = mkdtempSync(join(tmpdir(), 'fdwire-demo-'))
try {
  console.log(`demo    Two processes will meet at ${directory}/demo.sock\n`)
  const server = start('server.mjs')
  await Promise.race([once(server, 'message'), server.ended]) // it says when it is bound
  if (server.exitCode === null && !interrupted) await start('client.mjs').ended
  await server.ended
} finally {
  rmSync(directory, { recursive: true })
}

if (interrupted) {
  console.log('\ndemo    Interrupted; both processes and their directory are gone.')
  process.exitCode = 128 + constants.signals[interrupted]
} else if (children.length < 2 || children.some(child => child.exitCode !== 0)) {
  console.log('\ndemo    That went wrong; see above.')
  process.exitCode = 1
} else {
  console.log('\ndemo    Both processes have ended by themselves, and their directory is removed.')
}

/** A process whose `ended` resolves when it has ended, be it by failing. */
function start(script) {
  // Node's own IPC is there only to say "ready", and to tell the child when this process is gone.
  const child = fork(new URL(script, import.meta.url), [directory])
  child.ended = new Promise(resolve => child.once('exit', resolve))
  child.ended.then(() => {
    // One without the other would wait for ever.
    if (child.exitCode !== 0) for (const other of children) other.kill()
  })
  children.push(child)
  return child
}
