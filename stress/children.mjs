/** Starts and ends the processes that a case needs: always by their own handle. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pairForChild } from './kinds.mjs'

/** Place of an inherited descriptor, behind the standard streams and the IPC channel. */
const INHERITED = 4

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts `programs/peer.mjs`; `pairFd` is a descriptor that it inherits. */
export function startPeer(settings, pairFd) {
  const inherits = pairFd === undefined ? [] : [pairFd]
  const own = pairFd === undefined ? settings : { ...settings, pairFd: INHERITED }
  return start('peer.mjs', own, { inherits })
}

/**
 * Starts one of `programs/` with settings as JSON. It may inherit descriptors, get options of Node,
 * and be started through another command, such as `['unshare', '--mount']`.
 */
export function start(program, settings, { inherits = [], node = [], through = [] } = {}) {
  const [execPath, ...execArgv] = [...through, process.execPath, '--no-warnings', ...node]
  const child = fork(new URL(`programs/${program}`, import.meta.url), [JSON.stringify(settings)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...inherits],
    execPath,
    execArgv,
  })
  running.add(child)
  const exited = once(child, 'exit').then(([code, signal]) => {
    running.delete(child)
    return signal ?? code
  })
  return { child, exited, next: () => next(child, program), ask: request => ask(child, request) }
}

/** Opens what stays open from the first child on, and from the first channel on. */
export async function warmUp() {
  const [ours, theirs] = pairForChild()
  const peer = startPeer({ role: 'client', addresses: {} }, theirs)
  closeSync(theirs)
  await peer.next()
  await kill(peer)
  ours.destroy()
}

/** Waits for a child's next message. */
async function next(child, program) {
  const ended = new AbortController()
  const onExit = () => ended.abort(new Error(`${program} exited`))
  child.once('exit', onExit)
  try {
    const [message] = await once(child, 'message', { signal: ended.signal })
    return message
  } finally {
    child.off('exit', onExit)
  }
}

async function ask(child, request) {
  const answer = next(child, request)
  child.send(request)
  return answer
}

/** Kills a process, and waits until it is gone. */
export async function kill({ child, exited }) {
  child.kill('SIGKILL')
  return exited
}

/** Calls `use` with a new folder, and removes it afterwards. */
export async function inFolder(use) {
  const folder = mkdtempSync(join(tmpdir(), 'fdwire-stress-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
