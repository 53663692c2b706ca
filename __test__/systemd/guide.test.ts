/** The service of docs/guides/systemd.md. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, listen } from 'fdwire'
import { describe, expect, it, onTestFinished } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import { startManager, unsetVariablesAfterEach } from '../support/systemd.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
unsetVariablesAfterEach()

const page = readFileSync(testPath('../docs/guides/systemd.md'), 'utf8')
/** The program without its client. */
const service = /```js\n([\s\S]*?)\n\/\/ A client/.exec(page)?.[1] ?? ''

describe('the service of the guide', () => {
  it('serves the socket that a service manager has passed, and notifies it', async () => {
    const folder = temporaryDirectory()
    const manager = await startManager(join(folder, 'notify'))
    const path = join(folder, 'greeter.sock')
    const listener = await listen(path, { protocol: 'lines' })
    onTestFinished(() => listener.close())
    const node = [process.execPath, '--input-type=module', '--eval', service]
    // The shell has the process id that its program will have.
    const greeter = new Peer('sh', ['-c', 'LISTEN_PID=$$ exec "$0" "$@"', ...node], {
      cwd: testPath('..'),
      env: { ...process.env, LISTEN_FDS: '1', WATCHDOG_USEC: '600000000' },
      stdio: ['ignore', 'pipe', 'pipe', listener.fd],
    })
    expect(await greeter.receive()).toBe(true)
    const states = [await manager.receive(), await manager.receive()].map(({ state }) => state)
    expect(states.sort()).toEqual(['READY=1', 'WATCHDOG=1'])
    const client = track(await connect(path, { protocol: 'lines' }))
    expect((await client.request('Ada', { timeout: 25_000 })).value).toBe('Hello Ada')
    await client.close()
    greeter.child.kill('SIGTERM')
    expect((await manager.receive()).state).toBe('STOPPING=1')
    expect(await greeter.exited).toBe(0)
  })
})
