import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { adopt, type Channel, connect, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  track,
  withFd,
} from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import {
  abstractName,
  connectedPair,
  recordEvents,
  runCleanupsAfterEach,
  startListener,
} from '../support/streams.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
runCleanupsAfterEach()

const JSON_RECORDS = { protocol: 'jsoncomm', type: 'seqpacket' } as const
const RECORDS = { protocol: 'raw', type: 'seqpacket' } as const
/** What the peer in Python answers. */
type Heard = { got: unknown; read: string[] }
const python = process.env.PYTHON ?? 'python3'

function two<O extends typeof JSON_RECORDS | typeof RECORDS>(options: O) {
  const [a, b] = pair(options as typeof JSON_RECORDS)
  type Two = Channel<O extends typeof RECORDS ? Buffer : unknown>
  return [track(a) as Two, track(b) as Two] as const
}

describe('a seqpacket channel', () => {
  it('keeps the borders of its messages and their descriptors, 253 of them', async () => {
    const [a, b] = two(JSON_RECORDS)
    await withFd(async fd => {
      for (const count of [0, 1, 3, 16, 253]) a.send({ count }, { fds: Array(count).fill(fd) })
      for (const count of [0, 1, 3, 16, 253]) {
        const message = await b.receive()
        expect([message?.value, message?.fds.length]).toEqual([{ count }, count])
        message?.fds.close()
      }
    }, '/dev/full')
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('connects by a path and by an abstract name, both ways', async () => {
    for (const name of [abstractName(), join(temporaryDirectory(), 'socket')]) {
      const [client, server] = await connectedPair(name, JSON_RECORDS)
      server.on('message', value => server.send({ echo: value }))
      expect((await client.request([1, 'é'])).value).toEqual({ echo: [1, 'é'] })
      expect(client.peer).toMatchObject({ pid: process.pid, uid: process.getuid?.() })
    }
  })

  it('tells an empty record from the end', async () => {
    const [a, b] = two(RECORDS)
    for (const text of ['', 'x', '', '']) a.send(Buffer.from(text))
    a.end()
    const lengths: number[] = []
    for await (const { value } of b) lengths.push(value.length)
    expect(lengths).toEqual([0, 1, 0, 0])
    expect(await b.receive()).toBeNull()
  })

  it('ends behind the last message, once, and closes', async () => {
    const [a, b] = two(JSON_RECORDS)
    const events = recordEvents(b)
    b.on('message', () => {})
    a.send(1)
    a.send(2)
    await a.close()
    await once(b, 'close')
    expect(events).toEqual([1, 2, 'end', 'close'])
  })

  it('hears of its peer’s death though nobody reads, and costs nothing until then', async () => {
    const name = abstractName()
    const listener = await startListener(name, JSON_RECORDS)
    const code = `import { connect } from 'fdwire'
      const channel = await connect(${JSON.stringify(name)}, ${JSON.stringify(JSON_RECORDS)})
      console.log('there')
      setInterval(() => {}, 1_000)`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: new URL('../..', import.meta.url),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [channel] = (await once(listener, 'connection')) as [Channel]
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await Promise.all([once(track(channel), 'end'), once(child, 'exit')])
  })

  it('reads what came before a reset', async () => {
    const [a, b] = two(JSON_RECORDS)
    b.send('nobody reads this')
    a.send('last words')
    a.destroy()
    expect((await b.receive())?.value).toBe('last words')
    expect(await b.receive()).toBeNull()
  })

  it('queues what the kernel does not take, and says so', async () => {
    const [a, b] = two(RECORDS)
    let sent = 1
    while (a.send(Buffer.alloc(10_000, sent))) sent++
    const drained = once(a, 'drain')
    for (let i = 1; i <= sent; i++) {
      expect(((await b.receive()) as { value: Buffer }).value[0]).toBe(i % 256)
    }
    await drained
    expect(a.stats).toMatchObject({ queued: 0, sent })
  })

  it('throws at the call when its peer is gone or the message too large, and lives on', async () => {
    const [a, b] = two(RECORDS)
    expect(() => a.send(Buffer.alloc(4_000_000))).toThrow(errorWithCode('EMSGSIZE'))
    a.send(Buffer.from('still there'))
    expect(String((await b.receive())?.value)).toBe('still there')
    b.destroy()
    expect(() => a.send(Buffer.from('x'))).toThrow(errorWithCode('EPIPE'))
  })

  it('goes to another owner as it was found, and comes back', async () => {
    const [a, b] = two(JSON_RECORDS)
    const again = track(adopt(b.detach(), JSON_RECORDS))
    a.send('for the new owner')
    expect((await again.receive())?.value).toBe('for the new owner')
    const stranger = again.detach()
    expect(() => adopt(stranger, { protocol: 'jsoncomm' })).toThrow(
      errorWithCode('ERR_FDWIRE_WRONG_SOCKET'),
    )
    track(adopt(stranger, JSON_RECORDS))
  })

  it('refuses malformed records alone', async () => {
    const [raw, other] = two(RECORDS)
    const channel = track(adopt(other.detach(), JSON_RECORDS))
    const malformed: string[] = []
    channel.on('malformed', error => malformed.push(error.code))
    for (const text of ['', '{', '\u00ff']) raw.send(Buffer.from(text, 'latin1'))
    raw.send(Buffer.from('"whole"'))
    expect((await channel.receive())?.value).toBe('whole')
    expect(malformed).toEqual([
      'ERR_FDWIRE_EMPTY_MESSAGE',
      'ERR_FDWIRE_NOT_JSON',
      'ERR_FDWIRE_NOT_UTF8',
    ])
  })

  it('is not to be connected to from a socket of another type', async () => {
    const name = join(temporaryDirectory(), 'socket')
    await startListener(name, JSON_RECORDS)
    await expect(connect(name, { protocol: 'jsoncomm' })).rejects.toMatchObject({
      code: 'EPROTOTYPE',
    })
  })
})

describe('Python at the other end of a seqpacket socket', () => {
  const PEER = `
import json, os, socket, sys
peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.connect(bytes.fromhex(sys.argv[1]))
while True:
    text, fds, _, _ = socket.recv_fds(peer, 1 << 20, 253)
    if not text:
        break
    contents = [os.pread(fd, 100, 0).decode() for fd in fds]
    socket.send_fds(peer, [json.dumps({"got": json.loads(text), "read": contents}).encode()], fds)
    for fd in fds:
        os.close(fd)
`
  it('gets descriptors and gives them back: 0, 1, 3, 16, 253', async () => {
    const name = abstractName()
    const listener = await startListener(name, JSON_RECORDS)
    const child = spawn(python, ['-c', PEER, Buffer.from(name).toString('hex')], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [channel] = (await once(listener, 'connection')) as [Channel<Heard>]
    track(channel as Channel)
    await withFd(async fd => {
      for (const count of [0, 1, 3, 16, 253]) {
        const asked = { count } as unknown as Heard
        const { value, fds } = await channel.request(asked, { fds: Array(count).fill(fd) })
        expect(value.got).toEqual({ count })
        expect(new Set(value.read)).toEqual(new Set(count === 0 ? [] : ['a letter\n']))
        expect(fds.length).toBe(count)
        fds.close()
      }
    }, letter())
    await Promise.all([channel.close(), once(child, 'exit')])
  })
})

/** A file with a line that the peer must find in it. */
function letter(): string {
  const path = join(temporaryDirectory(), 'letter')
  writeFileSync(path, 'a letter\n')
  return path
}
