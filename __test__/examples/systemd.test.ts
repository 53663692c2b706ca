/** examples/systemd: a service that systemd-socket-activate starts, or systemd itself. */
import { closeSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { bind, connect, type FdSet, listen, mapMemfd } from 'fdwire'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { EXAMPLES, useExample } from '../support/examples.js'
import { cleanUpAfterEach, Peer, temporaryDirectory } from '../support/processes.js'
import { canRunSystemd, ServiceManager, whySkipped } from '../support/service-manager.js'
import { startManager, unsetVariablesAfterEach } from '../support/systemd.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
unsetVariablesAfterEach()

const file = useExample('systemd')
const managers: ServiceManager[] = []
afterEach(() => Promise.all(managers.splice(0).map(manager => manager.stop())))

const greet = async (path: string, name: string) => {
  const client = track(await connect(path, { protocol: 'lines' }))
  const { value } = await client.request(name, { timeout: 25_000 })
  await client.close()
  return value
}

/** Starts the example as a service manager does: with descriptors from 3 on, and their names. */
function startGreeter(notify: string, fds: Record<string, number>) {
  const names = Object.keys(fds)
  const env = {
    ...process.env,
    NOTIFY_SOCKET: notify,
    LISTEN_FDS: String(names.length),
    LISTEN_FDNAMES: names.join(':'),
  }
  // The shell has the process id that its program will have.
  const args = ['-c', 'LISTEN_PID=$$ exec "$0" "$@"', process.execPath, file('greeter')]
  return new Peer('sh', args, { env, stdio: ['ignore', 'pipe', 'pipe', ...Object.values(fds)] })
}

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
      file('greeter'),
    ])
    const open = () => connect(path, { protocol: 'lines' })
    let client = await open().catch(() => undefined)
    while (client === undefined) {
      await setImmediate()
      client = await open().catch(() => undefined)
    }
    expect((await track(client).request('you')).value).toBe('Hello you')
    const states: string[] = []
    while (states.length < 4) states.push((await manager.receive()).state)
    expect(states.sort()).toEqual([
      'FDSTORE=1\nFDNAME=count',
      'READY=1',
      'STATUS=1 greetings',
      'WATCHDOG=1',
    ])
    service.child.kill('SIGTERM')
    expect((await manager.receive()).state).toBe('STOPPING=1')
    expect(await service.exited).toBe(0)
  })

  it('continues to count in the memory that its manager has stored, after it was killed', async () => {
    const folder = temporaryDirectory()
    const notify = join(folder, 'notify')
    const manager = track(await bind(notify, { protocol: 'raw', type: 'dgram', maxFds: 1 }))
    const path = join(folder, 'greeter.sock')
    // The manager listens, and the services accept.
    const listener = await listen(path, { protocol: 'lines' })
    onTestFinished(() => listener.close())
    const first = startGreeter(notify, { greetings: listener.fd })
    expect(await greet(path, 'Ada')).toBe('Hello Ada')
    let stored: FdSet | undefined
    while (stored === undefined) {
      const message = await manager.receive()
      if (`${message?.value}`.startsWith('FDSTORE=1\nFDNAME=count')) stored = message?.fds
    }
    const memory = stored.take(0)
    onTestFinished(() => closeSync(memory))
    await first.stop('SIGKILL')
    expect(mapMemfd(memory).readUInt32LE()).toBe(1)
    startGreeter(notify, { greetings: listener.fd, count: memory })
    expect(await greet(path, 'Grace')).toBe('Hello Grace')
    expect(mapMemfd(memory).readUInt32LE()).toBe(2)
  })

  // This needs the privilege to create namespaces, and control groups of version 1.
  it.runIf(canRunSystemd)(
    `continues to count after systemd has restarted it${whySkipped}`,
    async () => {
      const unit = (name: string) => readFileSync(join(EXAMPLES, 'systemd', name), 'utf8')
      const manager = await ServiceManager.start(folder => ({
        'greeter.socket': unit('greeter.socket').replace('/run/', `${folder}/`),
        'greeter.service': unit('greeter.service').replace(
          /^ExecStart=.*$/m,
          `ExecStart=${process.execPath} ${file('greeter')}`,
        ),
      }))
      managers.push(manager)
      await manager.systemctl('start', 'greeter.socket')
      const path = join(manager.folder, 'greeter.sock')
      const statusText = () => manager.show('greeter.service', 'StatusText')
      const patient = { timeout: 25_000, interval: 100 }
      expect(await greet(path, 'Ada')).toBe('Hello Ada')
      await expect.poll(statusText, patient).toBe('1 greetings')
      await manager.systemctl('kill', '--signal=SIGKILL', 'greeter.service')
      await expect.poll(() => manager.show('greeter.service', 'NRestarts'), patient).toBe('1')
      expect(await greet(path, 'Grace')).toBe('Hello Grace')
      await expect.poll(statusText, patient).toBe('2 greetings')
    },
    120_000,
  )

  it('survives every attack, with flat descriptors and memory', async () => {
    const path = join(temporaryDirectory(), 'greeter.sock')
    const listener = await listen(path, { protocol: 'lines' })
    onTestFinished(() => listener.close())
    // The program prints nothing; its memory is the first thing that it prints.
    const start = `process.env.LISTEN_PID = process.pid; import(${JSON.stringify(file('greeter'))}).then(() => console.log('ready'))`
    const server = await AttackedServer.start(['--eval', start], /^ready$/, {
      env: { ...process.env, LISTEN_FDS: '1' },
      stdio: ['pipe', 'pipe', 'pipe', listener.fd],
    })
    const target = { path, protocol: 'lines', type: 'stream' } as const
    await expectUnharmed(server, target, async () => {
      expect(await greet(path, 'you')).toBe('Hello you')
    })
  }, 180_000)
})
