/** examples/dbus-native: dbus-native passes descriptors over fdwire, through a real dbus-daemon. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { useBus } from '../support/dbus.js'
import { useExample } from '../support/examples.js'

const bus = useBus()
const example = useExample('dbus-native')

describe('the dbus-native example', () => {
  it('lets a service read a file that only its client has opened', async () => {
    const env = { ...process.env, DBUS_SESSION_BUS_ADDRESS: `unix:path=${bus.path},guid=0` }
    const service = spawn(process.execPath, [example('service')], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(service, 'exit')
    onTestFinished(async () => {
      service.kill()
      await ended
    })
    const [line] = await once(service.stdout, 'data')
    expect(String(line)).toBe('org.example.LineCounter is ready\n')
    const file = join(bus.folder, 'file')
    writeFileSync(file, 'one\ntwo\nthree\n')
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [example('client'), file],
      { env },
    )
    expect([stdout, stderr]).toEqual([`${file} has 3 lines\n`, ''])
  })
})
