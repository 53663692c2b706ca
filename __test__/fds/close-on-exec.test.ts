import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readdirSync } from 'node:fs'
import { bind, connect, createMemfd, FdSet, listen, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { flagsOf } from '../support/processes.js'
import { TRANSPORTS } from '../support/rights.js'

destroyChannelsAfterEach()

const O_CLOEXEC = 0o2000000

const openNumbers = () => readdirSync('/proc/self/fd').map(Number)

/** Returns the descriptors that were opened since then, except that which reads the directory. */
function openedSince(before: number[]): number[] {
  return openNumbers().filter(fd => {
    try {
      return !before.includes(fd) && flagsOf(fd) >= 0
    } catch {
      return false
    }
  })
}

/** Returns what a child process has inherited beside its standard streams. */
function inheritedByChild(): string {
  const list =
    'for (const fd of process.argv.slice(1)) try { fs.fstatSync(+fd); console.log(fd) } catch {}'
  const code = `const fs = require('fs'); ${list}`
  const numbers = openNumbers().filter(fd => fd > 2 && (flagsOrNone(fd) & O_CLOEXEC) === 0)
  const { stdout } = spawnSync(process.execPath, ['--eval', code, ...numbers.map(String)])
  return stdout.toString()
}

function flagsOrNone(fd: number): number {
  try {
    return flagsOf(fd)
  } catch {
    return O_CLOEXEC
  }
}

describe.each(TRANSPORTS)('descriptors that are received over %s', (_, options) => {
  it('are close-on-exec, also those that are queued, lent and taken', async () => {
    const before = openNumbers()
    const [a, b] = pair(options)
    track(a)
    track(b)
    const fd = openSync('/dev/null', 'r')
    // More than the kernel takes: the queue has duplicates.
    for (let i = 0; i < 400; i++) a.send('x'.repeat(1_000), { fds: [fd] })
    expect(a.stats.queuedFds).toBeGreaterThan(0)
    const received: FdSet[] = []
    for (let i = 0; i < 50; i++) received.push((await b.receive())?.fds as FdSet)
    const taken = received[0]?.take(0) as number
    const opened = openedSince(before)
    expect(opened.length).toBeGreaterThan(50)
    expect(opened.filter(one => (flagsOf(one) & O_CLOEXEC) === 0)).toEqual([])
    for (const fds of received) fds.close()
    for (const one of [fd, taken]) closeSync(one)
  })
})

describe('descriptors that fdwire opens', () => {
  it('are close-on-exec: listeners, connections, bound sockets, memfds, peers', async () => {
    const before = openNumbers()
    const inherited = inheritedByChild()
    const listener = await listen(null, { protocol: 'lines' })
    const accepted = new Promise<{ destroy(): void }>(resolve => listener.on('connection', resolve))
    const client = track(await connect(listener.address as string, { protocol: 'lines' }))
    const tcp = await listen({ host: '127.0.0.1', port: 0 }, { protocol: 'lines' })
    const bound = track(await bind(null, { protocol: 'jsoncomm' }))
    const memfd = createMemfd('content')
    const set = FdSet.from([openSync('/dev/null', 'r')])
    const channel = await accepted
    expect(client.peer).toBeDefined()
    void (client.peer as { pidfd?: number }).pidfd
    const opened = openedSince(before)
    expect(opened.length).toBeGreaterThan(6)
    expect(opened.filter(one => (flagsOf(one) & O_CLOEXEC) === 0)).toEqual([])
    expect(inheritedByChild()).toBe(inherited)
    channel.destroy()
    memfd.close()
    set.close()
    bound.destroy()
    await Promise.all([listener.close(), tcp.close()])
  })
})
