import { execFile } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { bind, type Channel, connect, type FdSet, type Listener, listen, pair, stats } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { loopTurns } from '../support/channels.js'
import { temporaryDirectory, testPath } from '../support/processes.js'
import { afterTest, runCleanupsAfterEach, waitUntil } from '../support/streams.js'

runCleanupsAfterEach()

interface Report {
  channel?: Channel
  listener?: Listener
  reason?: string
  limit?: string
  error?: NodeJS.ErrnoException
}

/** Records what is published on a diagnostics channel until the end of the test. */
function watch(name: string): Report[] {
  const reports: Report[] = []
  const onReport = (report: unknown) => void reports.push(report as Report)
  subscribe(name, onReport)
  afterTest(() => void unsubscribe(name, onReport))
  return reports
}

const LINES = { protocol: 'lines' } as const

describe('node:diagnostics_channel', () => {
  it('gets fdwire:open, :accept and :close with the channel and its listener', async () => {
    const [opened, accepted, closed] = ['open', 'accept', 'close'].map(name =>
      watch(`fdwire:${name}`),
    ) as [Report[], Report[], Report[]]
    const listener = await listen(null, LINES)
    const connection = once(listener, 'connection')
    const client = await connect(listener.address as string, LINES)
    const [channel] = await connection
    expect(opened.map(({ channel, listener }) => channel ?? listener)).toEqual([
      listener,
      client,
      channel,
    ])
    expect(accepted).toEqual([{ listener, channel }])
    const error = new Error('enough')
    client.on('error', () => {})
    client.destroy(error)
    channel.destroy()
    await listener.close()
    await waitUntil(() => closed.length === 3)
    expect(closed).toContainEqual({ channel: client, error })
    expect(closed).toContainEqual({ channel, error: undefined })
    expect(closed).toContainEqual({ listener, error: undefined })
  })

  it('gets fdwire:drop with the reason, and fdwire:limit for maxConnections', async () => {
    const [drops, limits] = [watch('fdwire:drop'), watch('fdwire:limit')]
    const listener = await listen(null, { ...LINES, maxConnections: 1, allowPeer: () => false })
    afterTest(() => listener.close())
    listener.on('connection', () => {})
    const client = await connect(listener.address as string, LINES)
    afterTest(() => void client.destroy())
    await waitUntil(() => drops.length === 1)
    expect(drops).toEqual([{ listener, reason: 'allowPeer' }])
    expect(limits).toContainEqual({ listener, limit: 'maxConnections', error: undefined })
  })

  it('gets fdwire:limit for a full queue and for too many open descriptors', async () => {
    const limits = watch('fdwire:limit')
    const [a, b] = pair({ protocol: 'jsoncomm', maxQueued: 1_000, maxOpenFds: 1 })
    afterTest(() => void a.destroy())
    afterTest(() => void b.destroy())
    const file = openSync('/dev/null', 'r')
    afterTest(() => void closeSync(file))
    const held: FdSet[] = []
    b.on('message', (_, fds) => held.push(fds))
    a.send('held', { fds: [file] })
    a.send('behind it')
    await waitUntil(() => limits.length === 1)
    expect(limits[0]).toEqual({ channel: b, limit: 'maxOpenFds' })
    expect(() => {
      for (;;) a.send('x'.repeat(100))
    }).toThrow(/full/)
    expect(limits[1]).toEqual({ channel: a, limit: 'maxQueued', to: undefined })
    for (const fds of held) fds.close()
  })

  it('gets fdwire:malformed and fdwire:undelivered', async () => {
    const [malformed, undelivered] = [watch('fdwire:malformed'), watch('fdwire:undelivered')]
    const receiver = await bind(null, { protocol: 'jsoncomm' })
    const to = receiver.localAddress as string
    const raw = await bind(null, { protocol: 'raw', type: 'dgram', sendTimeout: 20 })
    afterTest(() => void raw.destroy())
    raw.send('no json', { to })
    raw.send('1', { to })
    expect((await receiver.receive())?.value).toBe(1)
    expect(malformed[0]).toMatchObject({
      channel: receiver,
      error: { code: 'ERR_FDWIRE_NOT_JSON' },
      from: raw.localAddress,
    })
    while (raw.send('fill', { to }));
    await waitUntil(() => undelivered.length > 0)
    expect(undelivered[0]).toMatchObject({ channel: raw, to })
    receiver.destroy()
  })
})

describe('NODE_DEBUG=fdwire', () => {
  it('logs what happens, with addresses and codes, and never the contents of messages', async () => {
    const directory = temporaryDirectory()
    const script = testPath('support/children/debugged.mjs')
    const path = join(directory, 'a.sock')
    const env = { ...process.env, NODE_DEBUG: 'fdwire' }
    const { stderr } = await promisify(execFile)(process.execPath, [script, path], { env })
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map(line => line.replace(/^FDWIRE \d+: /, '').replaceAll(/fd -?\d+/g, 'fd N'))
    expect(lines).toContain(`open listener lines/stream fd N at ${path}`)
    expect(lines).toContainEqual(
      expect.stringMatching(/^accept listener .*, channel lines\/stream/),
    )
    expect(lines).toContainEqual(expect.stringMatching(/^malformed channel .*ERR_FDWIRE_NOT_JSON$/))
    expect(lines).toContainEqual(expect.stringMatching(/^close channel lines\/stream/))
    expect(lines).toContainEqual(expect.stringMatching(/^refuse listener .*reason: allowPeer$/))
    expect(stderr).not.toContain('secret')
    const { stderr: silent } = await promisify(execFile)(process.execPath, [script, `${path}2`])
    expect(silent).toBe('')
  })
})

describe('stats()', () => {
  it('sums the counters of open and closed channels', async () => {
    const before = stats()
    const [a, b] = pair({ protocol: 'jsoncomm' })
    const file = openSync('/dev/null', 'r')
    for (let i = 0; i < 3; i++) a.send('x', { fds: [file] })
    const sets = []
    for (let i = 0; i < 3; i++) sets.push((await b.receive())?.fds)
    const during = stats()
    const change = (name: keyof typeof before) => during[name] - before[name]
    expect([change('channels'), change('opened')]).toEqual([2, 2])
    expect([change('sent'), change('sentBytes'), change('sentFds')]).toEqual([3, 9, 3])
    expect([change('received'), change('openFds')]).toEqual([3, 3])
    a.destroy()
    b.destroy()
    await loopTurns(1)
    const after = stats()
    expect(after.sent - before.sent).toBe(3)
    expect([after.channels, after.openFds]).toEqual([before.channels, before.openFds + 3])
    for (const fds of sets) fds?.close()
    expect(stats().openFds).toBe(before.openFds)
    closeSync(file)
  })

  it('counts listeners, accepted and dropped connections', async () => {
    const before = stats()
    let admits = true
    const listener = await listen(null, { ...LINES, allowPeer: () => admits })
    listener.on('connection', channel => channel.destroy())
    expect(stats().listeners).toBe(before.listeners + 1)
    for (const admit of [true, false]) {
      admits = admit
      const client = await connect(listener.address as string, LINES)
      await once(client, 'close')
    }
    await listener.close()
    const after = stats()
    expect([after.accepted - before.accepted, after.dropped - before.dropped]).toEqual([2, 1])
    expect(after.listeners).toBe(before.listeners)
  })
})
