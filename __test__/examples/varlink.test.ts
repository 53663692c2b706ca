/** examples/varlink, with the Python package of the varlink project at the other end. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { connect } from 'fdwire'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'
import { pythonWithPeers } from '../support/venv.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
// The first run on a machine installs varlink, which takes longer than the timeout of a test.
beforeAll(() => void pythonWithPeers(), 300_000)

const file = useExample('varlink')
const VARLINK = { protocol: 'lines', delimiter: '\0', encoding: 'json' } as const

async function startService() {
  const socket = join(temporaryDirectory(), 'counter.sock')
  const service = await AttackedServer.start([file('service'), socket], /^Serving/)
  return { service, socket }
}

function startPython(role: string, socket: string) {
  const { command, env } = pythonWithPeers()
  const child = spawn(
    command,
    ['-B', testPath('support/peers/varlink_peer.py'), role, `unix:${socket}`],
    {
      env: { ...env, PYTHONIOENCODING: 'utf8' },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const ended = once(child, 'close')
  onTestFinished(async () => {
    child.kill()
    await ended
  })
  return child
}

/** Runs the client, and returns its exit code and what it prints. */
async function call(socket: string, method: string, parameters: object) {
  const args = [file('client'), socket, method, JSON.stringify(parameters)]
  return promisify(execFile)(process.execPath, args).then(
    ({ stdout }) => [0, stdout],
    ({ code, stdout }) => [code, stdout],
  )
}

describe('the varlink example', () => {
  it('serves a client of the varlink project', async () => {
    const { socket } = await startService()
    const output = await text(startPython('client', socket).stdout)
    const lines = output.trim().split('\n')
    expect(lines.map(line => JSON.parse(line))).toEqual(['naïve 😀naïve 😀', [0, 1, 2, 3]])
  })

  it('calls a service of the varlink project, and its own', async () => {
    const python = join(temporaryDirectory(), 'python.sock')
    await once(startPython('service', python).stdout, 'data')
    const { socket } = await startService()
    for (const path of [socket, python]) {
      const count = await call(path, 'org.example.counter.Count', { to: 2 })
      expect(count).toEqual([0, ' {"number":0}\n {"number":1}\n {"number":2}\n'])
      const error = 'org.example.counter.TooFar {"to":2000}\n'
      expect(await call(path, 'org.example.counter.Count', { to: 2_000 })).toEqual([1, error])
    }
  })

  it('answers a call with wrong parameters or an unknown method with an error', async () => {
    const { socket } = await startService()
    const client = track(await connect<object, unknown>(socket, VARLINK))
    const errorOf = async (message: unknown) => (await client.request(message)).value
    const name = 'org.varlink.service'
    expect(
      await errorOf({ method: 'org.example.counter.Double', parameters: { text: 1 } }),
    ).toEqual({ error: `${name}.InvalidParameter`, parameters: { parameter: 'text' } })
    for (const method of ['toString', 'org.example.counter.Halve']) {
      expect(await errorOf({ method })).toEqual({
        error: `${name}.MethodNotFound`,
        parameters: { method },
      })
    }
  })

  it('survives every attack, with flat descriptors and memory', async () => {
    const { service, socket } = await startService()
    const options = { delimiter: '\0' }
    const target = { path: socket, protocol: 'lines', type: 'stream', options } as const
    await expectUnharmed(service, target, async () => {
      const client = track(await connect<object>(socket, VARLINK))
      const call = { method: 'org.example.counter.Double', parameters: { text: 'a' } }
      const { value } = await client.request(call, { timeout: 20_000 })
      expect(value).toEqual({ parameters: { text: 'aa' } })
      await client.close()
    })
  }, 180_000)

  it('stops a call whose client does not read its replies, when the client is gone', async () => {
    const { service, socket } = await startService()
    const fds = service.fds()
    const client = track(await connect<object>(socket, VARLINK))
    const call = { method: 'org.example.counter.Count', parameters: { to: 1_000 }, more: true }
    while (client.send(call)); // until the service reads no more
    const other = track(await connect<object>(socket, VARLINK))
    const { value } = await other.request({ ...call, more: false })
    expect(value).toEqual({ parameters: { number: 1_000 } })
    await other.close()
    client.destroy()
    await expect.poll(() => service.fds(), { timeout: 20_000 }).toBeLessThanOrEqual(fds)
  })
})
