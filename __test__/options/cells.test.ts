/** Each option with each function over each kind of socket is applied, or refused by its name. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, Codec } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { optionsOf } from '../../lib/options/applicability.js'
import { OPTION_NAMES, type OptionName } from '../../lib/options/table.js'
import { destroyChannelsAfterEach, loopTurns } from '../support/channels.js'
import { CELLS, type Cell, type Pair } from '../support/option-cells.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'
import { runCleanupsAfterEach, waitUntil } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

/** Opens a channel with a value of the option, and shows that it is applied. */
type Effect = (cell: Cell, open: Cell['open']) => Promise<void>

const code = (name: string) => expect.objectContaining({ code: `ERR_FDWIRE_${name}` })
const never = () => {}

/** Returns the next error or malformed message of a channel. */
function failureOf(channel: Channel): Promise<unknown> {
  channel.on('message', never)
  return new Promise(resolve => {
    channel.once('malformed', resolve)
    channel.once('error', resolve)
  })
}

/** Returns an effect: the peer, whose frames are the default ones, cannot decode ours. */
function changesFrames(options: object, error: string): Effect {
  return async (_, open) => {
    const { ours, theirs } = await open(options)
    const failed = failureOf(theirs)
    for (let i = 0; i < 4; i++) ours.send('ab')
    expect(await failed).toEqual(code(error))
  }
}

/** Returns options of a socket, which another process reads. */
function socketOption({ ours }: Pair, level: number, option: number): number {
  const script = `import socket; print(socket.socket(fileno=3).getsockopt(${level}, ${option}))`
  const stdio = ['ignore', 'pipe', 'inherit', ours.fd] as const
  return Number(execFileSync('python3', ['-c', script], { stdio: [...stdio] }))
}

/** Sends until a call throws, with a limit of a hundred MiB. */
function sendUntilRefused({ ours, toTheirs }: Pair, options: { fds?: number[] } = {}): unknown {
  try {
    for (let i = 0; i < 100_000; i++) ours.send('x'.repeat(1_000), { ...toTheirs, ...options })
  } catch (error) {
    return error
  }
  return undefined
}

async function withDevNull<T>(use: (fd: number) => Promise<T> | T): Promise<T> {
  const fd = openSync('/dev/null', 'r')
  try {
    return await use(fd)
  } finally {
    closeSync(fd)
  }
}

const EFFECTS: Partial<Record<OptionName, Effect>> = {
  protocol: async (cell, open) => {
    expect((await open({})).ours.protocol).toBe(cell.base.protocol)
  },
  type: async (cell, open) => {
    expect((await open({})).ours.type).toBe(cell.type)
  },
  encoding: async (cell, open) => {
    const isText = cell.type === 'stream'
    const { ours, theirs, toOurs } = await open({ encoding: isText ? 'text' : 'json' })
    theirs.send({ a: 1 }, toOurs)
    expect((await ours.receive())?.value).toEqual(isText ? '{"a":1}' : { a: 1 })
  },
  lengthBytes: changesFrames({ lengthBytes: 1 }, 'MESSAGE_TOO_LARGE'),
  littleEndian: changesFrames({ littleEndian: true }, 'MESSAGE_TOO_LARGE'),
  lengthAdjustment: changesFrames({ lengthAdjustment: -4 }, 'NOT_JSON'),
  maxMessage: async (_, open) => {
    const pair = await open({ maxMessage: 500 })
    const failed = failureOf(pair.ours)
    pair.theirs.send('x'.repeat(1_000), pair.toOurs)
    expect(await failed).toEqual(code('MESSAGE_TOO_LARGE'))
  },
  memfd: async (_, open) => {
    const [without, large] = [await open({ memfd: false }), 'x'.repeat(300_000)]
    expect(() => without.ours.send(large, without.toTheirs)).toThrow(
      expect.objectContaining({ code: 'EMSGSIZE' }),
    )
    const { ours, theirs, toTheirs } = await open({ memfd: true })
    expect(theirs.stats.received).toBe(0)
    ours.send(large, toTheirs)
    expect(ours.stats.sent).toBe(1)
  },
  maxFds: async (_, open) => {
    const pair = await open({ maxFds: 1 })
    const failed = failureOf(pair.ours)
    await withDevNull(fd => pair.theirs.send('two', { ...pair.toOurs, fds: [fd, fd] }))
    expect(await failed).toEqual(code('TOO_MANY_FDS'))
  },
  maxOpenFds: async (_, open) => {
    const { ours, theirs, toOurs } = await open({ maxOpenFds: 1, maxFds: 1 })
    const sets: { close(): void }[] = []
    ours.on('message', (_value, fds) => sets.push(fds))
    await withDevNull(fd => {
      for (let i = 0; i < 3; i++) theirs.send(i, { ...toOurs, fds: [fd] })
    })
    for (let received = 1; received <= 3; received++) {
      await waitUntil(() => sets.length === received)
      await loopTurns(5)
      expect([sets.length, ours.stats.openFds]).toEqual([received, 1])
      sets.at(-1)?.close()
    }
  },
  maxQueuedFds: async (_, open) => {
    const pair = await open({ maxQueuedFds: 2, maxFds: 1 })
    await withDevNull(fd => {
      expect(sendUntilRefused(pair, { fds: [fd] })).toEqual(code('QUEUE_FULL'))
      expect(pair.ours.stats.queuedFds).toBeLessThanOrEqual(2)
    })
  },
  highWaterMark: async (cell, open) => {
    for (const highWaterMark of [1, 3_000_000]) {
      const { ours, toTheirs } = await open({ highWaterMark })
      // A datagram socket says false as soon as a message is queued.
      const mark = cell.type === 'stream' ? highWaterMark : 0
      for (let sends = 0; sends < 10_000; sends++) {
        if (!ours.send('x'.repeat(100_000), toTheirs)) break
      }
      const { queuedBytes } = ours.stats
      expect(queuedBytes).toBeGreaterThan(mark)
      expect(queuedBytes).toBeLessThan(mark + 200_000)
    }
  },
  maxQueued: async (_, open) => {
    const pair = await open({ maxQueued: 50_000 })
    expect(sendUntilRefused(pair)).toEqual(code('QUEUE_FULL'))
    expect(pair.ours.stats.queuedBytes).toBeLessThan(60_000)
  },
  maxQueuedTotal: async (_, open) => {
    const pair = await open({ maxQueuedTotal: 100_000 })
    const undelivered = once(pair.ours, 'undelivered')
    expect(sendUntilRefused(pair)).toEqual(code('QUEUE_FULL'))
    expect(pair.ours.stats.queuedBytes).toBeLessThan(100_000)
    expect((await undelivered)[0]).toEqual(code('UNDELIVERED'))
  },
  idleTimeout: async (_, open) => {
    const { ours } = await open({ idleTimeout: 20 })
    expect(await failureOf(ours)).toEqual(code('IDLE_TIMEOUT'))
  },
  messageTimeout: async (_, open) => {
    const { ours, theirs } = await open({ messageTimeout: 20 })
    const failed = failureOf(ours)
    const fd = theirs.detach()
    writeSync(fd, Buffer.from('\0\0\0\tcut'))
    expect(await failed).toEqual(code('MESSAGE_TIMEOUT'))
    closeSync(fd)
  },
  reconnect: async (_, open) => {
    const { ours, theirs } = await open({ reconnect: { minDelay: 5 } })
    ours.on('message', never)
    const lost = once(ours, 'disconnect')
    theirs.destroy()
    await lost
    expect(ours.closed).toBe(false)
  },
  allowHalfOpen: async (_, open) => {
    const { ours, theirs } = await open({ allowHalfOpen: true })
    ours.on('message', never)
    const ended = once(ours, 'end')
    theirs.end()
    await ended
    await loopTurns(3)
    ours.send('after the end')
    expect((await theirs.receive())?.value).toBe('after the end')
  },
  captureRejections: async (_, open) => {
    const { ours, theirs, toOurs } = await open({ captureRejections: true })
    const error = new Error('rejected')
    ours.on('message', async () => {
      throw error
    })
    const failed = new Promise(resolve => ours.once('error', resolve))
    theirs.send(1, toOurs)
    expect(await failed).toBe(error)
  },
  replyTimeout: async (_, open) => {
    const { ours } = await open({ replyTimeout: 1 })
    const failed = new Promise(resolve => ours.once('error', resolve))
    await expect(ours.request('no reply', { timeout: 1 })).rejects.toEqual(code('TIMEOUT'))
    expect(await failed).toEqual(code('REPLY_LOST'))
  },
  sendTimeout: async (_, open) => {
    const pair = await open({ sendTimeout: 20, maxQueued: 50_000 })
    const undelivered = once(pair.ours, 'undelivered')
    sendUntilRefused(pair)
    expect((await undelivered)[0]).toEqual(code('UNDELIVERED'))
  },
  credentials: async (_, open) => {
    const { ours, theirs, toOurs } = await open({ credentials: true })
    theirs.send(1, toOurs)
    expect(await ours.receive()).toMatchObject({ credentials: { pid: process.pid } })
  },
  mode: async (cell, open) => {
    const more = cell.opener === 'connect' ? { localAddress: socketPath() } : {}
    const { ours, address } = await open({ mode: 0o640, ...more })
    const bound = cell.opener === 'listen' ? address : ours.localAddress
    expect(statSync(bound as string).mode & 0o777).toBe(0o640)
  },
  localAddress: async (_, open) => {
    const localAddress = socketPath()
    expect((await open({ localAddress })).ours.localAddress).toBe(localAddress)
  },
  signal: async (_, open) => {
    await expect(open({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORT_ERR' })
  },
  noDelay: async (_, open) => {
    for (const noDelay of [true, false]) {
      expect(socketOption(await open({ noDelay }), 6, 1)).toBe(Number(noDelay))
    }
  },
  keepAlive: async (_, open) => {
    const pair = await open({ keepAlive: 7_000 })
    expect([socketOption(pair, 1, 9), socketOption(pair, 6, 4)]).toEqual([1, 7])
  },
  sendBufferSize: async (_, open) => {
    expect(socketOption(await open({ sendBufferSize: 30_000 }), 1, 7)).toBe(60_000)
  },
  recvBufferSize: async (_, open) => {
    expect(socketOption(await open({ recvBufferSize: 30_000 }), 1, 8)).toBe(60_000)
  },
  allowPeer: async (_, open) => {
    let asked = 0
    const allowPeer = () => {
      asked++
      return true
    }
    await open({ allowPeer })
    expect(asked).toBe(1)
  },
  head: async (cell, open) => {
    const head = new Codec('length_prefixed', { encoding: 'json' }).encode('read before')
    const { ours } = await open({ head })
    expect([cell.opener, (await ours.receive())?.value]).toEqual(['adopt', 'read before'])
  },
}

/**
 * Options whose effect needs more than one channel or a special protocol, and the tests that show it
 * for every function that has them.
 */
const ELSEWHERE: Partial<Record<OptionName, string>> = {
  allowRelative: 'channel/send.test.ts',
  backlog: 'open/listen-addresses.test.ts',
  busyPoll: 'channel/busy-poll.test.ts',
  maxConnections: 'open/listen.test.ts',
  reusePort: 'open/listen-addresses.test.ts',
  timeout: 'open/bind.test.ts',
  unlink: 'open/bind.test.ts',
}

/** A valid value of each option, to see whether a call has it. */
const VALUES: Partial<Record<OptionName, unknown>> = {
  encoding: 'json',
  mode: 0o600,
  unlink: 'stale',
  signal: new AbortController().signal,
  onMalformed: never,
  allowPeer: () => true,
  head: Buffer.alloc(0),
  localAddress: null,
  busyPoll: 0,
  noDelay: true,
  keepAlive: true,
}

function socketPath(): string {
  return join(temporaryDirectory(), 'own')
}

describe.each(CELLS)('$name', cell => {
  const { opener, type, target, base } = cell
  const { protocol } = base
  const has = new Set(optionsOf({ opener, protocol, type, target }))
  it.each(OPTION_NAMES.filter(name => has.has(name)))('applies %s', async name => {
    const effect = EFFECTS[name]
    if (effect === undefined) {
      expect(readFileSync(testPath(ELSEWHERE[name] as string), 'utf8')).toContain(name)
      return
    }
    const refused = refusalByFamily(cell, name)
    if (refused === undefined) await effect(cell, options => cell.open(options))
    else await expect(cell.open({ [name]: VALUES[name] ?? 1 })).rejects.toThrow(refused)
  })

  const REFUSED = OPTION_NAMES.filter(name => !has.has(name))
  it.each(REFUSED)('refuses %s by its name', async name => {
    const refusal = name === 'maxFds' ? /maxFds must be 0/ : `${opener} has no option ${name}: `
    await expect(cell.open({ [name]: VALUES[name] ?? 1 })).rejects.toThrow(refusal)
  })
})

/**
 * Returns how a call refuses an option because of the family of its socket, which is known late if the
 * socket is passed in.
 */
function refusalByFamily({ name: cell, target }: Cell, name: OptionName): RegExp | undefined {
  const isUnix = cell.endsWith('unix')
  const carriesFds = isUnix || cell.startsWith('pair')
  if (name === 'maxFds' && !carriesFds) return /maxFds must be 0/
  if (target !== 'fd') return undefined
  const [others, family] = isUnix
    ? [['noDelay', 'keepAlive', 'recvBufferSize'], 'TCP']
    : [['maxOpenFds', 'maxQueuedFds'], 'Unix sockets']
  return others.includes(name) ? new RegExp(`no option ${name}: it is for ${family}`) : undefined
}
