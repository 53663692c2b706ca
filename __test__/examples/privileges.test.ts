/** examples/privileges: a broker opens files for a client that may open none. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const file = useExample('privileges')
const run = promisify(execFile)

/** Node 23.5 renamed the flag. */
const PERMISSION = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission'

/** The flags of a process that may read the example and its packages, and nothing else. */
const sandbox = () => [
  PERMISSION,
  '--allow-addons',
  ...[dirname(file('client')), testPath('..')].map(folder => `--allow-fs-read=${folder}/*`),
  '--no-warnings',
]

async function startBroker() {
  const folder = temporaryDirectory()
  const notes = join(folder, 'notes')
  writeFileSync(notes, 'one\ntwo\n')
  const socket = join(folder, 'broker.sock')
  const args = [file('broker'), socket, `notes=${notes}`, `missing=${folder}/missing`]
  const broker = await AttackedServer.start(args, /^Serving notes, missing at /)
  return { broker, socket, notes }
}

describe('the privileges example', () => {
  it('lets a sandboxed client read an allowed file, and refuses every other name', async () => {
    const { broker, socket, notes } = await startBroker()
    const names = ['notes', notes, 'missing', 'constructor', 'notes']
    const { stdout } = await run(process.execPath, [...sandbox(), file('client'), socket, ...names])
    expect(stdout.trim().split('\n')).toEqual([
      'notes: 8 bytes, 2 lines',
      `${notes}: No such file`,
      'missing: No such file',
      'constructor: No such file',
      'notes: 8 bytes, 2 lines',
    ])
    expect(await broker.line(/^Refused/)).toMatch(/^Refused {"open":".*"} of process \d+: Error/)
    const read = `fs.readFileSync(${JSON.stringify(notes)})`
    await expect(run(process.execPath, [...sandbox(), '--eval', read])).rejects.toThrow(
      'ERR_ACCESS_DENIED',
    )
  })

  it('survives every attack, with flat descriptors and memory', async () => {
    const { broker, socket } = await startBroker()
    const target = { path: socket, protocol: 'jsoncomm', type: 'seqpacket' } as const
    await expectUnharmed(broker, target, async () => {
      const client = track(await connect(socket, { protocol: 'jsoncomm', type: 'seqpacket' }))
      const { value, fds } = await client.request({ open: 'notes' }, { timeout: 20_000 })
      expect([value, fds.length]).toEqual([{ size: 8 }, 1])
      fds.close()
      await client.close()
    })
  }, 180_000)
})
