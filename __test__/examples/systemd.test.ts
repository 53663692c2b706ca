/** examples/systemd: a service that systemd-socket-activate starts. */
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import { startManager, unsetVariablesAfterEach } from '../support/systemd.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
unsetVariablesAfterEach()

describe('the systemd example', () => {
  it('starts with its first client, and tells the service manager what it does', async () => {
    const folder = temporaryDirectory()
    const manager = await startManager(join(folder, 'notify'))
    const path = join(folder, 'greeter.sock')
    const service = new Peer('systemd-socket-activate', [
      `--setenv=NOTIFY_SOCKET=${join(folder, 'notify')}`,
      '--setenv=WATCHDOG_USEC=600000000',
      '--fdname=greetings',
      `--listen=${path}`,
      process.execPath,
      testPath('../examples/systemd/greeter.mjs'),
    ])
    const open = () => connect(path, { protocol: 'lines' })
    let client = await open().catch(() => undefined)
    while (client === undefined) {
      await setImmediate()
      client = await open().catch(() => undefined)
    }
    expect((await track(client).request('you')).value).toBe('Hello you')
    const states: string[] = []
    while (states.length < 3) states.push((await manager.receive()).state)
    expect(states.sort()).toEqual(['READY=1', 'STATUS=1 greetings', 'WATCHDOG=1'])
    service.child.kill('SIGTERM')
    expect((await manager.receive()).state).toBe('STOPPING=1')
    expect(await service.exited).toBe(0)
  })
})
