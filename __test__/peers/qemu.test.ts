/** QEMU's machine protocol (QMP), which takes descriptors beside its commands. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Channel, connect, createMemfd, type FdSource, listen } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, Peer, temporaryDirectory } from '../support/processes.js'
import { whenReady } from '../support/programs.js'

cleanUpAfterEach()
// This happens first: a QEMU that is killed may reset its connections.
destroyChannelsAfterEach()

interface Reply {
  id?: number
  return?: unknown
  error?: { class: string; desc: string }
  event?: string
  QMP?: object
}

const QMP = { protocol: 'lines', encoding: 'json', maxFds: 1 } as const

/** Starts a QEMU without a machine, whose monitor is at a path. */
function runQemu(monitor: string) {
  const machine = ['-machine', 'none', '-nodefaults', '-display', 'none', '-S']
  const args = [...machine, '-qmp', `unix:${monitor},server=on,wait=off`]
  return new Peer('qemu-system-x86_64', args)
}

/** Starts a QEMU without a machine, and connects to its monitor. */
async function startQemu() {
  const folder = temporaryDirectory()
  const monitor = join(folder, 'qmp')
  const qemu = runQemu(monitor)
  const channel = track(await whenReady(qemu, () => connect<Reply, object>(monitor, QMP)))
  expect((await channel.receive())?.value).toHaveProperty('QMP.version.qemu.major')
  let last = 0
  const execute = async (command: string, args: object = {}, fds: Iterable<FdSource> = []) => {
    const id = ++last
    const { value } = await channel.request(
      { execute: command, arguments: args, id },
      { fds, match: message => message.value.id === id },
    )
    return value.error ?? value.return
  }
  expect(await execute('qmp_capabilities')).toEqual({})
  return { folder, qemu, channel, execute }
}

/** Returns what the descriptors of a process refer to. */
const targetsOf = ({ child: { pid } }: Peer) =>
  readdirSync(`/proc/${pid}/fd`).map(fd => readlinkSync(`/proc/${pid}/fd/${fd}`))

/** Returns exactly as many bytes of a stream as are asked for. */
function reader(channel: Channel<Buffer>) {
  let bytes = Buffer.alloc(0)
  return async (length: number) => {
    while (bytes.length < length) {
      const message = await channel.receive()
      if (message === null) throw new Error(`The stream ended before ${length} bytes`)
      bytes = Buffer.concat([bytes, message.value])
    }
    const read = bytes.subarray(0, length)
    bytes = bytes.subarray(length)
    return read
  }
}

const u16 = (value: number) => Buffer.from([value >> 8, value & 255])
const u32 = (value: number) => Buffer.concat([u16(value >>> 16), u16(value & 0xffff)])
const u64 = (value: number) => Buffer.concat([u32(0), u32(value)])

/** Reads the first bytes of an export over NBD, the protocol of network block devices. */
async function readExport(channel: Channel<Buffer>, name: string, length: number) {
  const read = reader(channel)
  expect(`${await read(16)}`).toBe('NBDMAGICIHAVEOPT')
  // Fixed newstyle, and no zeroes after the reply to the option.
  expect((await read(2)).readUInt16BE() & 3).toBe(3)
  const option = [Buffer.from('IHAVEOPT'), u32(1), u32(name.length), Buffer.from(name)]
  channel.send(Buffer.concat([u32(3), ...option]))
  const size = (await read(8)).readBigUInt64BE()
  await read(2)
  channel.send(Buffer.concat([u32(0x25609513), u16(0), u16(0), u64(7), u64(0), u32(length)]))
  expect(await read(16)).toEqual(Buffer.concat([u32(0x67446698), u32(0), u64(7)]))
  return { size, content: await read(length) }
}

describe('QEMU', () => {
  it('keeps a descriptor that arrives with getfd until closefd', async () => {
    const { qemu, execute } = await startQemu()
    const file = createMemfd('content', { name: 'passed' })
    const passed = () => targetsOf(qemu).filter(target => target.startsWith('/memfd:passed'))
    expect(await execute('getfd', { fdname: 'file' }, file)).toEqual({})
    file.close()
    expect(passed().length).toBe(1)
    expect(await execute('closefd', { fdname: 'file' })).toEqual({})
    expect(passed()).toEqual([])
  })

  it('reports a command without its descriptor as an error, and executes the next', async () => {
    const { execute } = await startQemu()
    expect(await execute('getfd', { fdname: 'none' })).toMatchObject({ class: 'GenericError' })
    expect(await execute('query-status')).toMatchObject({ running: false })
  })

  it('serves a disk that is a memfd of this process on a listening socket that it has passed', async () => {
    const { folder, channel, execute } = await startQemu()
    const content = Buffer.alloc(4_096, 'fdwire ')
    const disk = createMemfd(content, { seal: false })
    expect(await execute('add-fd', { 'fdset-id': 1 }, disk)).toMatchObject({ 'fdset-id': 1 })
    disk.close()
    const file = { driver: 'file', filename: '/dev/fdset/1' }
    expect(await execute('blockdev-add', { driver: 'raw', 'node-name': 'disk', file })).toEqual({})

    const path = join(folder, 'nbd')
    const listener = await listen(path, { protocol: 'raw' })
    expect(await execute('getfd', { fdname: 'nbd' }, [listener])).toEqual({})
    const addr = { type: 'fd', data: { str: 'nbd' } }
    expect(await execute('nbd-server-start', { addr })).toEqual({})
    const nbd = { type: 'nbd', id: 'nbd', 'node-name': 'disk' }
    expect(await execute('block-export-add', nbd)).toEqual({})

    const client = track(await connect(path, { protocol: 'raw' }))
    const { size, content: read } = await readExport(client, 'disk', content.length)
    expect([size, read.equals(content)]).toEqual([BigInt(content.length), true])
    await Promise.all([client.close(), listener.close()])
    expect(channel.stats.sentFds).toBe(2)
  })

  it('sends events between replies, which request with match leaves to the listeners', async () => {
    const { channel, execute } = await startQemu()
    const events: unknown[] = []
    channel.on('message', ({ event }) => events.push(event))
    expect(await execute('cont')).toEqual({})
    expect(await execute('stop')).toEqual({})
    expect(await execute('query-status')).toMatchObject({ running: false })
    expect(events).toEqual(['RESUME', 'STOP'])
  })
})

describe('the qmp example', () => {
  const file = useExample('qmp')

  it('has QEMU save the state of its machine in a file that the example opens', async () => {
    const folder = temporaryDirectory()
    const monitor = join(folder, 'qmp')
    const state = join(folder, 'machine.state')
    const qemu = runQemu(monitor)
    const save = () => promisify(execFile)(process.execPath, [file('save'), monitor, state])
    const { stdout } = await whenReady(qemu, save)
    expect(stdout).toMatch(/^Event MIGRATION completed\nSaving has completed: \d+ bytes$/m)
    // The magic number of a QEMU migration stream.
    expect(readFileSync(state).toString('latin1', 0, 4)).toBe('QEVM')
  })
})
