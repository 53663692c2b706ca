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

const JSON_SEQPACKET = { protocol: 'jsoncomm', type: 'seqpacket' } as const
const RAW_SEQPACKET = { protocol: 'raw', type: 'seqpacket' } as const
/** What the Python peer replies. */
type Reply = { got: unknown; read: string[] }
const pythonCommand = process.env.PYTHON ?? 'python3'

function seqpacketPair<O extends typeof JSON_SEQPACKET | typeof RAW_SEQPACKET>(options: O) {
  const [a, b] = pair(options as typeof JSON_SEQPACKET)
  type Typed = Channel<O extends typeof RAW_SEQPACKET ? Buffer : unknown>
  return [track(a) as Typed, track(b) as Typed] as const
}

/** Returns a channel without a consumer, and its peer. */
async function untouched(origin: 'pair' | 'connect' | 'adopt') {
  if (origin === 'connect') return connectedPair(abstractName(), JSON_SEQPACKET)
  const [own, peer] = seqpacketPair(JSON_SEQPACKET)
  return [origin === 'pair' ? own : track(adopt(own.detach(), JSON_SEQPACKET)), peer] as const
}

describe('a seqpacket channel', () => {
  it('preserves message boundaries and up to 253 descriptors', async () => {
    const [a, b] = seqpacketPair(JSON_SEQPACKET)
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

  it('carries messages in both directions over a path and an abstract name', async () => {
    for (const name of [abstractName(), join(temporaryDirectory(), 'socket')]) {
      const [client, server] = await connectedPair(name, JSON_SEQPACKET)
      server.on('message', value => server.send({ echo: value }))
      expect((await client.request([1, 'é'])).value).toEqual({ echo: [1, 'é'] })
      expect(client.peer).toMatchObject({ pid: process.pid, uid: process.getuid?.() })
    }
  })

  it('distinguishes an empty message from the end', async () => {
    const [a, b] = seqpacketPair(RAW_SEQPACKET)
    for (const text of ['', 'x', '', '']) a.send(Buffer.from(text))
    a.end()
    const lengths: number[] = []
    for await (const { value } of b) lengths.push(value.length)
    expect(lengths).toEqual([0, 1, 0, 0])
    expect(await b.receive()).toBeNull()
  })

  it('ends once after the last message, and closes', async () => {
    const [a, b] = seqpacketPair(JSON_SEQPACKET)
    const events = recordEvents(b)
    b.on('message', () => {})
    a.send(1)
    a.send(2)
    await a.close()
    await once(b, 'close')
    expect(events).toEqual([1, 2, 'end', 'close'])
  })

  it("notices its peer's death without a reader", async () => {
    const name = abstractName()
    const listener = await startListener(name, JSON_SEQPACKET)
    const code = `import { connect } from 'fdwire'
      const channel = await connect(${JSON.stringify(name)}, ${JSON.stringify(JSON_SEQPACKET)})
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

  it.each(['pair', 'connect', 'adopt'] as const)(
    'of %s notices the end without a reader, and delivers what precedes it',
    async origin => {
      for (const end of ['end', 'destroy'] as const) {
        for (const value of [undefined, 'unread']) {
          const [own, peer] = await untouched(origin)
          const events = recordEvents(own, false)
          const ended = once(own, 'end')
          if (value !== undefined) peer.send(value)
          if (end === 'end') peer.end()
          else peer.destroy()
          if (value !== undefined) expect((await own.receive())?.value).toBe(value)
          await ended
          await expect.poll(() => events).toEqual(['end', 'close'])
          peer.destroy()
        }
      }
    },
  )

  it('delivers what was sent before a reset', async () => {
    const [a, b] = seqpacketPair(JSON_SEQPACKET)
    b.send('unread')
    a.send('last message')
    a.destroy()
    expect((await b.receive())?.value).toBe('last message')
    expect(await b.receive()).toBeNull()
  })

  it('queues what the kernel does not take, and emits drain', async () => {
    const [a, b] = seqpacketPair(RAW_SEQPACKET)
    let sent = 1
    while (a.send(Buffer.alloc(10_000, sent))) sent++
    const drained = once(a, 'drain')
    for (let i = 1; i <= sent; i++) {
      expect(((await b.receive()) as { value: Buffer }).value[0]).toBe(i % 256)
    }
    await drained
    expect(a.stats).toMatchObject({ queued: 0, sent })
  })

  it('throws from send if the message is too large or the peer has closed', async () => {
    const [a, b] = seqpacketPair(RAW_SEQPACKET)
    expect(() => a.send(Buffer.alloc(4_000_000))).toThrow(errorWithCode('EMSGSIZE'))
    a.send(Buffer.from('still there'))
    expect(String((await b.receive())?.value)).toBe('still there')
    b.destroy()
    expect(() => a.send(Buffer.from('x'))).toThrow(errorWithCode('EPIPE'))
  })

  it('can be detached and adopted again', async () => {
    const [a, b] = seqpacketPair(JSON_SEQPACKET)
    const again = track(adopt(b.detach(), JSON_SEQPACKET))
    a.send('for the new owner')
    expect((await again.receive())?.value).toBe('for the new owner')
    const fd = again.detach()
    expect(() => adopt(fd, { protocol: 'jsoncomm' })).toThrow(
      errorWithCode('ERR_FDWIRE_WRONG_SOCKET'),
    )
    track(adopt(fd, JSON_SEQPACKET))
  })

  it('reports malformed messages and delivers valid ones', async () => {
    const [raw, other] = seqpacketPair(RAW_SEQPACKET)
    const channel = track(adopt(other.detach(), JSON_SEQPACKET))
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

  it('cannot be connected to from a datagram socket', async () => {
    const name = join(temporaryDirectory(), 'socket')
    await startListener(name, JSON_SEQPACKET)
    await expect(connect(name, { protocol: 'jsoncomm' })).rejects.toMatchObject({
      code: 'EPROTOTYPE',
    })
  })
})

describe('a Python peer on a seqpacket socket', () => {
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
  it('receives and returns up to 253 descriptors', async () => {
    const name = abstractName()
    const listener = await startListener(name, JSON_SEQPACKET)
    const child = spawn(pythonCommand, ['-c', PEER, Buffer.from(name).toString('hex')], {
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    const [channel] = (await once(listener, 'connection')) as [Channel<Reply>]
    track(channel as Channel)
    await withFd(async fd => {
      for (const count of [0, 1, 3, 16, 253]) {
        const request = { count } as unknown as Reply
        const { value, fds } = await channel.request(request, { fds: Array(count).fill(fd) })
        expect(value.got).toEqual({ count })
        expect(new Set(value.read)).toEqual(new Set(count === 0 ? [] : ['a line\n']))
        expect(fds.length).toBe(count)
        fds.close()
      }
    }, textFile())
    await Promise.all([channel.close(), once(child, 'exit')])
  })
})

/** Creates a file with a line of text, and returns its path. */
function textFile(): string {
  const path = join(temporaryDirectory(), 'text')
  writeFileSync(path, 'a line\n')
  return path
}
