/** fdwire/systemd: the watchdog of the service manager. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { watchdog } from 'fdwire/systemd'
import { describe, expect, it, onTestFinished } from 'vitest'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import { type Notification, startManager, unsetVariablesAfterEach } from '../support/systemd.js'

cleanUpAfterEach()
unsetVariablesAfterEach()

const enable = (usec: number | string) => {
  process.env.WATCHDOG_USEC = String(usec)
}
const own = () => String(process.pid)

describe('watchdog', () => {
  it('is null unless the service manager asks this process for it', () => {
    expect(watchdog()).toBe(null)
    process.env.WATCHDOG_PID = own()
    expect(watchdog()).toBe(null)
    for (const disabled of ['', 0]) {
      enable(disabled)
      expect(watchdog()).toBe(null)
    }
    enable(1_000_000)
    process.env.WATCHDOG_PID = String(process.ppid)
    expect(watchdog()).toBe(null)
    process.env.WATCHDOG_PID = own()
    expect(watchdog()).not.toBe(null)
    delete process.env.WATCHDOG_PID
    expect(watchdog()).not.toBe(null)
  })

  it('has half of the time that the service manager allows as its interval', () => {
    for (const [usec, interval] of [
      [30_000_000, 15_000],
      [1_001_000, 500],
      [1, 1],
      [Number.MAX_SAFE_INTEGER, 2 ** 31 - 1],
    ] as const) {
      enable(usec)
      expect(watchdog()?.interval).toBe(interval)
    }
  })

  it('refuses variables that are not numbers', () => {
    for (const wrong of ['soon', '-1', '1.5', '1e3', ' 5']) {
      enable(wrong)
      expect(() => watchdog()).toThrow(RangeError)
      expect(() => watchdog()).toThrow(
        `WATCHDOG_USEC must be a non-negative integer, not '${wrong}'`,
      )
    }
    enable(1_000_000)
    process.env.WATCHDOG_PID = 'self'
    expect(() => watchdog()).toThrow(/WATCHDOG_PID/)
  })

  it('notifies at once and again in intervals, until it is stopped', async () => {
    const manager = await startManager(join(temporaryDirectory(), 'notify'))
    enable(40_000)
    const dog = watchdog()
    onTestFinished(() => dog?.stop())
    dog?.start()
    dog?.start()
    const began = performance.now()
    for (let i = 0; i < 6; i++) {
      const { state, pid } = (await manager.receive()) as Notification
      expect([state, pid]).toEqual(['WATCHDOG=1', process.pid])
    }
    // The sixth one is due after five intervals of 20 ms; timers may be a millisecond early.
    expect(performance.now() - began).toBeGreaterThan(90)
    dog?.stop()
    dog?.stop()
    // It can be started again.
    dog?.start()
    expect(((await manager.receive()) as Notification).state).toBe('WATCHDOG=1')
  })

  it('does not keep the process alive', () => {
    const program = "const { watchdog } = await import('fdwire/systemd'); watchdog().start()"
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      env: { ...process.env, WATCHDOG_USEC: '60000000' },
      encoding: 'utf8',
      timeout: 25_000,
    })
    expect([status, stderr]).toEqual([0, ''])
  })

  it('warns once if the service manager is gone, and goes on', () => {
    const program = `
      const { watchdog } = await import('fdwire/systemd')
      let warnings = 0
      process.on('warning', ({ code }) => { if (code === 'FDWIRE_WATCHDOG') warnings++ })
      watchdog().start()
      setTimeout(() => console.log(warnings), 200)`
    const { status, stdout } = spawnSync(
      process.execPath,
      ['--no-warnings', '--input-type=module', '-e', program],
      {
        env: { ...process.env, WATCHDOG_USEC: '20000', NOTIFY_SOCKET: '/nonexistent/notify' },
        encoding: 'utf8',
        timeout: 25_000,
      },
    )
    expect([status, stdout]).toEqual([0, '1\n'])
  })
})
