// The parent: node parent.mjs
//
// It listens, starts the child and sends requests, one at a time. If a reply has `retry`, it starts
// a new child, up to five times. QUIT ends the child. The keystone charm does the same in Python.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { QUIT, UdsServer } from 'fdwire/uds_comms'
import { toJson } from './json.mjs'

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url))
const TRIES = 5
/** Time limit for a reply, and for a child to end (ms). */
const TIMEOUT = 10_000

const log = line => console.log(`parent  ${line}`)
const directory = mkdtempSync(join(tmpdir(), 'keystone-'))
const path = join(directory, 'keystone-uds')
const server = await UdsServer.listen(path)
let child

try {
  log(`The id of bob is ${await ask('resolve_user_id', ['bob'], { user_domain: 'default' })}.`)
  log(`The name of u-1 is ${await ask('resolve_user_name', ['u-1'])}.`)
  log(`There is ${await ask('resolve_user_id', ['nobody'])}.`)
  log(`The service is ${await ask('wait_until_up')}.`)
  await ask('delete_everything').catch(error => log(`delete_everything: ${error.message}`))
} finally {
  await stop()
  await server.close()
  rmSync(directory, { recursive: true })
}
log('The child has ended, and its socket is removed.')

/** Calls a method of the child. Starts a new child if the reply has `retry`. */
async function ask(method, args = [], kwargs = {}) {
  for (let attempt = 1; ; attempt++) {
    if (child === undefined) await start(attempt)
    await server.send(toJson(request(method, args, kwargs)))
    const reply = await server.receive({ timeout: TIMEOUT })
    if (reply === null) throw new Error('The child has ended')
    const { result, error, retry } = JSON.parse(reply)
    if (error === undefined) return result
    if (!retry || attempt === TRIES) throw new Error(error)
    log(`${method}: ${error}. I start a new child.`)
    await stop('SIGKILL')
  }
}

async function start(attempt) {
  const started = spawn(process.execPath, [CHILD, path, String(attempt)], { stdio: 'inherit' })
  const ended = new AbortController()
  child = started
  child.ended = new Promise(resolve => {
    started.once('error', resolve)
    started.once('exit', resolve)
  })
  child.ended.then(() => ended.abort())
  await server.waitForConnection({ signal: ended.signal, timeout: TIMEOUT })
}

/** Ends the child with QUIT or the given signal, and after a timeout with SIGKILL. */
async function stop(signal) {
  if (child === undefined) return
  const { ended } = child
  if (signal === undefined) await server.send(QUIT).catch(() => {})
  else child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT)
  await ended
  clearTimeout(timer)
  child = undefined
}

function request(method, args, kwargs) {
  return {
    api_local_endpoint: 'http://localhost:35337/v3/',
    api_version: '3',
    args,
    charm_credentials: ['u', 'p', null, 'admin', 'default', 'default'],
    kwargs,
    path: [method],
  }
}
