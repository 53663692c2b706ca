/** fdwire/systemd under a real systemd, which runs as a user's service manager. */
import { join } from 'node:path'
import { connect } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, testPath } from '../support/processes.js'
import { canRunSystemd, ServiceManager, whySkipped } from '../support/service-manager.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const PATIENT = { timeout: 25_000, interval: 100 }
const managers: ServiceManager[] = []
afterEach(() => Promise.all(managers.splice(0).map(manager => manager.stop())))

/** Starts a service manager with a socket-activated service. */
async function startService(settings = '') {
  const manager = await ServiceManager.start(folder => ({
    'test.socket': `
      [Socket]
      ListenStream=${join(folder, 'control.sock')}
      FileDescriptorName=control`,
    'test.service': `
      [Unit]
      StartLimitIntervalSec=0
      [Service]
      Type=notify
      ExecStart=${process.execPath} ${testPath('support/children/systemd-service.mjs')}
      Restart=on-failure
      RestartSec=0
      TimeoutStopSec=2
      ${settings}`,
  }))
  managers.push(manager)
  await manager.systemctl('start', 'test.socket')
  return manager
}

/** Calls a function of the service, which systemd starts if it does not run. */
async function call(manager: ServiceManager, ...request: unknown[]) {
  const path = join(manager.folder, 'control.sock')
  const client = track(
    await connect<{ result: unknown }, unknown[]>(path, { protocol: 'lines', encoding: 'json' }),
  )
  const { value } = await client.request(request)
  await client.close()
  return value.result
}

// These need the privilege to create namespaces, and control groups of version 1.
describe.runIf(canRunSystemd)(`a service of systemd${whySkipped}`, () => {
  it('is started by its socket, is ready, and describes its state', async () => {
    const manager = await startService()
    expect(await manager.show('test.service', 'ActiveState')).toBe('inactive')
    expect(await call(manager, 'passed')).toEqual([
      { name: 'control', kind: 'unix-listener', content: null },
    ])
    await expect.poll(() => manager.show('test.service', 'ActiveState'), PATIENT).toBe('active')
    expect(await call(manager, 'status', 'Serving é')).toBe(true)
    expect(await call(manager, 'barrier')).toBe(true)
    // systemd has handled what was sent before the barrier.
    expect(await manager.show('test.service', 'StatusText')).toBe('Serving é')
    expect(await call(manager, 'reloading')).toBe(true)
    expect(await call(manager, 'barrier')).toBe(true)
    expect(await manager.show('test.service', 'ActiveState')).toBe('reloading')
    await call(manager, 'ready')
    await call(manager, 'stopping')
    await call(manager, 'barrier')
    expect(await manager.show('test.service', 'ActiveState')).toBe('deactivating')
  })

  it('gets its stored descriptors back, by name, after it has failed and was restarted', async () => {
    const manager = await startService('FileDescriptorStoreMax=8')
    await call(manager, 'store', 'kept', 'the state')
    await call(manager, 'store', 'removed', 'old')
    await call(manager, 'store', 'kept', 'more')
    await call(manager, 'removeFds', 'removed')
    await call(manager, 'barrier')
    expect(await manager.show('test.service', 'NFileDescriptorStore')).toBe('2')
    await call(manager, 'fail').catch(() => {})
    await expect.poll(() => manager.show('test.service', 'NRestarts'), PATIENT).toBe('1')
    const passed = (await call(manager, 'passed')) as object[]
    expect(passed).toHaveLength(3)
    expect(passed).toEqual(
      expect.arrayContaining([
        { name: 'control', kind: 'unix-listener', content: null },
        { name: 'kept', kind: 'memfd', content: 'the state' },
        { name: 'kept', kind: 'memfd', content: 'more' },
      ]),
    )
  })

  it('is made by systemd-run, for a socket, and works as one of a unit file', async () => {
    const manager = await ServiceManager.start(() => ({}))
    managers.push(manager)
    await manager.systemdRun(
      '--unit=test',
      `--socket-property=ListenStream=${join(manager.folder, 'control.sock')}`,
      '--socket-property=FileDescriptorName=control',
      '--service-type=notify',
      '--property=FileDescriptorStoreMax=8',
      '--property=Restart=on-failure',
      '--property=RestartSec=0',
      process.execPath,
      testPath('support/children/systemd-service.mjs'),
    )
    expect(await manager.show('test.socket', 'ActiveState')).toBe('active')
    expect(await manager.show('test.service', 'ActiveState')).toBe('inactive')
    const listener = { name: 'control', kind: 'unix-listener', content: null }
    expect(await call(manager, 'passed')).toEqual([listener])
    await expect.poll(() => manager.show('test.service', 'ActiveState'), PATIENT).toBe('active')
    expect(await call(manager, 'status', 'Serving')).toBe(true)
    expect(await call(manager, 'store', 'kept', 'the state')).toBe(true)
    expect(await call(manager, 'barrier')).toBe(true)
    expect(await manager.show('test.service', 'StatusText')).toBe('Serving')
    await call(manager, 'fail').catch(() => {})
    await expect.poll(() => manager.show('test.service', 'NRestarts'), PATIENT).toBe('1')
    expect(await call(manager, 'passed')).toEqual(
      expect.arrayContaining([listener, { name: 'kept', kind: 'memfd', content: 'the state' }]),
    )
  })

  it('is ended by the watchdog only after it has stopped notifying', async () => {
    const manager = await startService('WatchdogSec=4')
    await call(manager, 'startDog')
    expect(await call(manager, 'dog', 'interval')).toBe(2_000)
    const timestamp = () => manager.show('test.service', 'WatchdogTimestampMonotonic')
    const first = await timestamp()
    // systemd has received another notification, which restarts its timer.
    await expect.poll(timestamp, PATIENT).not.toBe(first)
    expect(await manager.show('test.service', 'NRestarts')).toBe('0')
    await call(manager, 'stopDog')
    await expect.poll(() => manager.show('test.service', 'NRestarts'), PATIENT).toBe('1')
  })
})
