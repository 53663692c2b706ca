/** examples/qmp with a monitor in Python; `__test__/peers/qemu.test.ts` runs it with QEMU. */
import { execFile } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'

cleanUpAfterEach()

const file = useExample('qmp')

/** Runs the example, and returns its exit code, what it prints, and what the monitor was told. */
async function save(...mode: string[]) {
  const folder = temporaryDirectory()
  const socket = join(folder, 'qmp.sock')
  const monitor = new Peer('python3', ['-B', testPath('support/peers/qmp.py'), socket, ...mode])
  await monitor.receive()
  const state = join(folder, 'machine.state')
  const [code, output] = await promisify(execFile)(process.execPath, [
    file('save'),
    socket,
    state,
  ]).then(
    ({ stdout }) => [0, stdout],
    ({ code, stdout, stderr }) => [code, stdout + stderr],
  )
  const commands: unknown[] = []
  for (let i = 0; i < 5; i++) {
    const { command, fds } = await monitor.receive()
    commands.push([command, fds])
  }
  return { code, output, commands, state }
}

describe('the qmp example', () => {
  it('has the state saved in a file that it passes, while events arrive between replies', async () => {
    const { code, output, commands, state } = await save()
    const events = 'Event STOP \nEvent MIGRATION setup\nEvent MIGRATION completed\n'
    expect([code, output]).toEqual([0, `${events}Saving has completed: 24 bytes\n`])
    expect(commands).toEqual([
      ['qmp_capabilities', 0],
      ['migrate-set-capabilities', 0],
      ['stop', 0],
      ['getfd', 1],
      ['migrate', 0],
    ])
    expect(readFileSync(state, 'utf8')).toBe('the state of the machine')
    expect(statSync(state).mode & 0o777).toBe(0o600)
  })

  it('exits with 1 when QEMU could not save the state', async () => {
    const { code, output } = await save('fail')
    expect(code).toBe(1)
    expect(output).toContain('Saving has failed: 0 bytes\n')
  })
})
