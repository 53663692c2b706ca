/** fdwire/systemd: sockets that the service manager passes, by systemd-socket-activate. */
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { connect, pair } from 'fdwire'
import { listenFds } from 'fdwire/systemd'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import { unsetVariablesAfterEach } from '../support/systemd.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
unsetVariablesAfterEach()

const CHILD = testPath('support/children/passed-fds.mjs')
const LINES = { protocol: 'lines' } as const

/** Starts the child with sockets that systemd-socket-activate opens; it waits for a client. */
const activate = (...args: string[]) =>
  new Peer('systemd-socket-activate', [...args, process.execPath, CHILD])

/** Returns a port that was free just now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Connects as soon as something is bound to the address. */
async function dial<C>(open: () => Promise<C>): Promise<C> {
  for (;;) {
    try {
      return await open()
    } catch {
      await setImmediate()
    }
  }
}

/** Sets the variables of a service manager for this process. */
function setVariables(count: number | string, names?: string, pid: number | string = process.pid) {
  process.env.LISTEN_PID = String(pid)
  process.env.LISTEN_FDS = String(count)
  if (names !== undefined) process.env.LISTEN_FDNAMES = names
}

/** Runs a program that gets these descriptors as 3, 4 … and the variables of its own pid. */
function runWithFds(fds: number[], names: string | undefined): Peer {
  const set = `export LISTEN_PID=$$ LISTEN_FDS=${fds.length}${names === undefined ? '' : ` LISTEN_FDNAMES=${names}`}`
  return new Peer('sh', ['-c', `${set}; exec "$0" "$@"`, process.execPath, CHILD], {
    stdio: ['pipe', 'pipe', 'pipe', ...fds],
  })
}

describe('listenFds', () => {
  it('returns the listening sockets of systemd-socket-activate with their names', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const port = await freePort()
    const child = activate('-l', path, '-l', `127.0.0.1:${port}`, '--fdname=local:remote')
    const first = track(await dial(() => connect(path, LINES)))
    const report = await child.receive()
    expect(report).toEqual({
      fds: [
        { fd: 3, name: 'local', kind: 'unix-listener' },
        { fd: 4, name: 'remote', kind: 'tcp-listener' },
      ],
      // The variables are removed, and no child process inherits the sockets.
      again: [],
      left: [],
      inherited: [],
    })
    expect(await child.receive()).toBe('ready')
    expect((await first.request('a')).value).toBe('local: a')
    const second = track(await connect({ host: '127.0.0.1', port }, LINES))
    expect((await second.request('b')).value).toBe('remote: b')
  })

  it('returns a datagram socket, which bind({ fd }) takes', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const child = activate('--datagram', '-l', path)
    const options = { protocol: 'jsoncomm' } as const
    const client = track(await dial(() => connect(path, options)))
    const reply = client.request('hello', { timeout: 25_000 })
    const { fds } = await child.receive()
    expect(fds).toEqual([{ fd: 3, name: 'unknown', kind: 'unix-dgram' }])
    expect((await reply).value).toEqual(['unknown', 'hello'])
  })

  it('returns a connection that was accepted before, which adopt takes', async () => {
    const path = join(temporaryDirectory(), 'socket')
    activate('--accept', '-l', path)
    const client = track(await dial(() => connect(path, LINES)))
    expect((await client.request('hello')).value).toBe('unknown: hello')
  })

  it('returns any kind of descriptor, as the store of the service manager may hold', async () => {
    const [channel, theirs] = pair(LINES)
    const file = openSync('/dev/null', 'r')
    const child = runWithFds([theirs.fd, file], 'socket:file')
    const { fds } = await child.receive()
    expect(fds.map(({ name, kind }: { name: string; kind: string }) => [name, kind])).toEqual([
      ['socket', 'unix-stream'],
      ['file', 'chardev'],
    ])
    closeSync(file)
    theirs.destroy()
    expect((await track(channel).request('hello')).value).toBe('socket: hello')
  })

  it('is empty without variables, and for those of another process', () => {
    expect(listenFds()).toEqual([])
    setVariables(1, undefined, process.ppid)
    expect(listenFds()).toEqual([])
    // They were not for this process either way, so nobody below may take them.
    expect(process.env.LISTEN_FDS).toBe(undefined)
    setVariables(0)
    expect(listenFds()).toEqual([])
    process.env.LISTEN_FDS = '1'
    expect(listenFds()).toEqual([])
  })

  it('leaves the variables with unset: false', () => {
    setVariables(1, 'one')
    const fds = listenFds({ unset: false })
    expect(fds).toEqual([{ fd: 3, name: 'one', kind: expect.any(String) }])
    expect(listenFds({ unset: false })).toEqual(fds)
    expect(process.env).toMatchObject({ LISTEN_FDS: '1', LISTEN_FDNAMES: 'one' })
    expect(listenFds()).toEqual(fds)
    expect(listenFds()).toEqual([])
  })

  it('refuses variables that contradict each other or the descriptors, and removes them', () => {
    for (const [count, names, message] of [
      ['two', undefined, "LISTEN_FDS must be a non-negative integer, not 'two'"],
      [-1, undefined, 'LISTEN_FDS'],
      [2, 'one', 'LISTEN_FDNAMES has 1 names for 2 descriptors'],
    ] as const) {
      setVariables(count, names)
      expect(() => listenFds()).toThrow(message)
      expect(process.env.LISTEN_PID).toBe(undefined)
    }
    setVariables(100_000)
    expect(() => listenFds()).toThrow(errorWithCode('EBADF'))
    setVariables(1, undefined, 'me')
    expect(() => listenFds()).toThrow(/LISTEN_PID/)
    expect(() => listenFds({ unset: 1 } as never)).toThrow(/unset must be true or false/)
    expect(() => listenFds({ names: [] } as never)).toThrow(/no option names/)
  })
})
