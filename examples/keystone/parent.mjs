// The hook process: it listens, starts the child, and asks. `node examples/keystone/parent.mjs`
//
// The keystone charm does the same in Python: one question at a time, and for an answer that says
// `retry` a new child, up to five times. QUIT ends the child.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { QUIT, UdsServer } from 'fdwire/uds_comms'
import { toJson } from './json.mjs'

const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url))
const TRIES = 5
/** How long a child may take to end when it is told to (ms). */
const PATIENCE = 10_000

const say = line => console.log(`parent  ${line}`)
const directory = mkdtempSync(join(tmpdir(), 'keystone-'))
const path = join(directory, 'keystone-uds')
const server = await UdsServer.listen(path)
let child

try {
  say(`The id of bob is ${await ask('resolve_user_id', ['bob'], { user_domain: 'default' })}.`)
  say(`The name of u-1 is ${await ask('resolve_user_name', ['u-1'])}.`)
  say(`There is ${await ask('resolve_user_id', ['nobody'])}.`)
  say(`The service is ${await ask('wait_until_up')}.`)
  await ask('delete_everything').catch(error => say(`delete_everything: ${error.message}`))
} finally {
  await stop()
  await server.close()
  rmSync(directory, { recursive: true })
}
say('The child has ended, and its socket is removed.')

/** Calls a method of the child's; a child that can't do it for now is replaced by another. */
async function ask(method, args = [], kwargs = {}) {
  for (let attempt = 1; ; attempt++) {
    if (child === undefined) await start(attempt)
    await server.send(toJson(request(method, args, kwargs)))
    const reply = await server.receive({ timeout: PATIENCE })
    if (reply === null) throw new Error('the child has gone')
    const { result, error, retry } = JSON.parse(reply)
    if (error === undefined) return result
    if (!retry || attempt === TRIES) throw new Error(error)
    say(`${method}: ${error}. I take a new child.`)
    await stop('SIGKILL')
  }
}

async function start(attempt) {
  const started = spawn(process.execPath, [CHILD, path, String(attempt)], { stdio: 'inherit' })
  const gone = new AbortController()
  child = started
  child.ended = new Promise(resolve => {
    started.once('error', resolve)
    started.once('exit', resolve)
  })
  child.ended.then(() => gone.abort())
  await server.waitForConnection({ signal: gone.signal, timeout: PATIENCE })
}

/** Ends the child: by QUIT, or else by force. */
async function stop(signal) {
  if (child === undefined) return
  const { ended } = child
  if (signal === undefined) await server.send(QUIT).catch(() => {})
  else child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
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
