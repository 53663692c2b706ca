/** The packages that docs/migration replaces: the programs before, and the same bytes on the wire. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, createMemfd, listen, toDuplex } from 'fdwire'
import { describe, expect, it, onTestFinished } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { programAfter } from '../support/migration.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import { startManager, unsetVariablesAfterEach } from '../support/systemd.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
unsetVariablesAfterEach()

const env = { ...process.env, NODE_PATH: testPath('../target/peers/node_modules') }
const NODE_IPC = { protocol: 'lines', delimiter: '\f', encoding: 'json' } as const

const startPackage = (name: string, path: string) =>
  new Peer(process.execPath, [testPath('support/children/ipc-packages.mjs'), name, path])

/** Writes the program before the migration to a file in a new directory. */
function programBefore(page: string): { cwd: string; file: string } {
  const cwd = temporaryDirectory()
  const file = join(cwd, 'before.cjs')
  writeFileSync(file, programAfter(page, 'Before').code)
  return { cwd, file }
}

describe('the program before the migration', () => {
  it.each(['usocket.md', 'unix-dgram.md', 'node-ipc.md'])(
    'prints the same as the one after it: %s',
    page => {
      const { cwd, file } = programBefore(page)
      const options = { cwd, env, encoding: 'utf8', timeout: 60_000 } as const
      const printed = execFileSync(process.execPath, [file], options)
      expect(printed.trim().split('\n')).toEqual(programAfter(page, 'After').prints)
    },
  )

  it('sends the same notifications as the one after it: sd-notify.md', async () => {
    const { cwd, file } = programBefore('sd-notify.md')
    const manager = await startManager(join(cwd, 'notify'))
    const variables = { NOTIFY_SOCKET: join(cwd, 'notify'), WATCHDOG_USEC: '100000' }
    const service = new Peer(process.execPath, [file], { cwd, env: { ...env, ...variables } })
    const states: string[] = []
    while (!states.includes('STOPPING=1')) {
      const { state } = await manager.receive()
      // The program has its signal handler before its first sign of life.
      if (state === 'WATCHDOG=1') service.child.kill('SIGTERM')
      else states.push(state.trim())
    }
    expect(states).toEqual(programAfter('sd-notify.md', 'After').prints)
    expect(await service.exited).toBe(0)
  })
})

describe('node-ipc', () => {
  it('as a client gets the replies of a server of fdwire', async () => {
    const path = join(temporaryDirectory(), 'app.world')
    const server = await listen<{ type: string; data: { name: string } }, object>(path, NODE_IPC)
    onTestFinished(() => server.close())
    server.serve(({ type, data }) => ({ type: `${type}ing`, data: { text: `hello ${data.name}` } }))
    const client = startPackage('node-ipc client', path)
    expect(await client.receive()).toEqual({ text: 'hello Ada' })
  })

  it('as a server replies to a client of fdwire', async () => {
    const path = join(temporaryDirectory(), 'app.world')
    const server = startPackage('node-ipc server', path)
    expect(await server.receive()).toBe('ready')
    const client = track(await connect(path, NODE_IPC))
    const { value } = await client.request({ type: 'greet', data: { name: 'Ada' } })
    expect(value).toEqual({ type: 'greeting', data: { text: 'hello Ada' } })
  })
})

describe('usocket', () => {
  it('exchanges bytes with descriptors with a stream of toDuplex', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = await listen(path, { protocol: 'raw', maxFds: 16 })
    onTestFinished(() => server.close())
    const client = startPackage('usocket client', path)
    const [channel] = await once(server, 'connection')
    const stream = toDuplex(track(channel))
    let descriptors = 0
    stream.on('fds', fds => {
      descriptors += fds.length
      stream.closeFds?.(fds)
    })
    const [data] = await once(stream, 'data')
    expect([descriptors, String(data)]).toEqual([1, 'mine'])
    const notes = createMemfd('the notes')
    stream.writeWithFds?.('yours', notes)
    notes.close()
    expect(await client.receive()).toEqual(['yours', 'the notes'])
  })
})
