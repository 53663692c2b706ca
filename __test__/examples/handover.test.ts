/** examples/handover, which replaces an HTTP server under load without failing a request. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { useExample } from '../support/examples.js'
import { get, KeepAliveClient, type LoadResult, requestBytes, runLoad } from '../support/http.js'

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const example = useExample('handover')
const FAULTY = file('../support/children/handover.mjs')

let directory: string
let control: string
/** The port on which the servers of a test listen, one after the other. */
let port: number
/** Processes and connections to end after each test. */
let children: ChildProcess[]
let clients: KeepAliveClient[]
/** The stderr output of the processes. */
let stderrOutputs: Promise<string>[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fdwire-handover-'))
  control = join(directory, 'control.sock')
  children = []
  clients = []
  stderrOutputs = []
})

afterEach(async () => {
  for (const client of clients) client.close()
  await Promise.all(children.map(kill))
  rmSync(directory, { recursive: true })
  const lines = (await Promise.all(stderrOutputs)).join('').split('\n')
  const allowed = /^$|The handover has failed, this process continues to serve|--trace-warnings/
  expect(lines.filter(line => !allowed.test(line))).toEqual([])
})

describe('the handover example', () => {
  it('fails no request while a server under load is replaced at least six times', async () => {
    let server = await serve()
    const fresh = descriptors(server.pid)
    const silent = await connect(20)
    const idle = await connect(20)
    for (const client of idle) expect(await client.get()).toBe(String(server.pid))

    let running = true
    const loads: LoadResult[] = []
    const generate = async (path: string, amount: number) => {
      while (running) loads.push(await runLoad(`http://127.0.0.1:${port}${path}`, amount, 10))
    }
    let newConnections = 0
    const connectRepeatedly = async () => {
      for (; running; newConnections++) await get(port)
    }
    const total = (key: keyof LoadResult) => loads.reduce((sum, one) => sum + one[key], 0)
    const generators = [generate('/', 2_500), generate('/slow?ms=2', 500), connectRepeatedly()]
    const failure = Promise.all(generators).then(() => new Promise<never>(() => {}))

    let handovers = 0
    try {
      while (handovers < 6 || total('sent') < 10_000) {
        // A request in progress, on a connection that is handed over once it has its response.
        const [busy] = (await connect(1)) as [KeepAliveClient]
        const response = busy.get('/slow?ms=200')
        const before = server
        server = await Promise.race([serve(), failure])
        expect(server.firstLine).toMatch(/Took over port/)
        expect([String(before.pid), String(server.pid)]).toContain(await response)
        expect(await Promise.race([before.ended, failure])).toEqual([0, null])
        expect(await busy.get()).toBe(String(server.pid))
        handovers++
      }
    } finally {
      running = false
    }
    await Promise.all(generators)

    expect(total('failed')).toBe(0)
    expect(total('succeeded')).toBe(total('sent'))
    expect(total('sent')).toBeGreaterThanOrEqual(10_000)
    expect(newConnections).toBeGreaterThan(0)
    for (const client of clients) expect(await client.get()).toBe(String(server.pid))
    expect(clients.length).toBe(silent.length + idle.length + handovers)
    // The last server has the descriptors of the first one, and the connections.
    const sockets = clients.map(() => 'socket')
    await expect.poll(() => descriptors(server.pid)).toEqual([...fresh, ...sockets].sort())

    for (const client of clients) client.close()
    server.child.kill('SIGTERM')
    expect(await server.ended).toEqual([0, null])
    expect(readdirSync(directory)).toEqual([])
  }, 120_000)

  it('finishes a partly read request in the process that has read the part', async () => {
    const server = await serve()
    const [client] = (await connect(1)) as [KeepAliveClient]
    const next = requestBytes('/next')
    // One write is one segment, so the server that responds to the first request has read the
    // second.
    client.write(requestBytes() + next.slice(0, 9))
    expect(await client.response()).toBe(String(server.pid))
    const successor = await serve()
    expect(await get(port)).toBe(String(successor.pid))
    client.write(next.slice(9))
    expect(await client.response()).toBe(String(server.pid))
    expect(await server.ended).toEqual([0, null])
    expect(await client.get()).toBe(String(successor.pid))
  })

  it('responds to all pipelined requests, by either process', async () => {
    const server = await serve()
    const [client] = (await connect(1)) as [KeepAliveClient]
    client.write(requestBytes('/slow?ms=100').repeat(5))
    const successor = await serve()
    for (let i = 0; i < 5; i++) {
      expect([String(server.pid), String(successor.pid)]).toContain(await client.response())
    }
    expect(await server.ended).toEqual([0, null])
    expect(await client.get()).toBe(String(successor.pid))
  })

  it('responds to a pipelined request whose predecessor finishes during the handover', async () => {
    const server = await startFaulty('held-response')
    const [client, other] = (await connect(2)) as [KeepAliveClient, KeepAliveClient]
    client.write(requestBytes('/hold') + requestBytes('/next'))
    // When /release gets its response, the server has read both requests of the other connection.
    const released = other.get('/release')
    const successor = await serve()
    expect(await released).toBe('released')
    expect(await client.response()).toBe('held')
    expect(await client.response()).toBe('next')
    expect(await server.ended).toEqual([0, null])
    expect(await client.get()).toBe(String(successor.pid))
  })

  it('serves several successors that start at once one after the other', async () => {
    const first = await serve()
    const silent = await connect(3)
    const successors = await Promise.all([serve(), serve(), serve()])
    expect(await first.ended).toEqual([0, null])
    // One of them remains; the order is undefined.
    const last = await get(port)
    const others = successors.filter(({ pid }) => String(pid) !== last)
    expect(others).toHaveLength(2)
    for (const other of others) expect(await other.ended).toEqual([0, null])
    for (const client of silent) expect(await client.get()).toBe(last)
  })

  for (const [stage, received, handedOver] of [
    ['keeps-listener', 'received tcp-listener', 'the listening socket'],
    ['keeps-connections', 'received 21', 'the connections'],
  ] as const) {
    it(`continues with the old server if a successor is killed before it acknowledges ${handedOver}`, async () => {
      const server = await serve()
      const idle = await connect(10)
      for (const client of idle) await client.get()
      const silent = await connect(10)
      await get(port) // the server has accepted the connections before this one
      const successor = await startFaulty(stage)
      expect(successor.firstLine).toBe(received)

      // Requests during the handover wait.
      const responses = [...idle, ...silent].map(client => client.get())
      const fromNewClient = get(port)
      await kill(successor.child)
      for (const response of [...responses, fromNewClient])
        expect(await response).toBe(String(server.pid))
      const url = `http://127.0.0.1:${port}/`
      expect(await runLoad(url, 500, 5)).toEqual({ sent: 500, succeeded: 500, failed: 0 })
      for (const client of clients) expect(await client.get()).toBe(String(server.pid))

      const next = await serve()
      expect(await server.ended).toEqual([0, null])
      for (const client of clients) expect(await client.get()).toBe(String(next.pid))
    })
  }

  it('continues with the old server if its successor has too few descriptors', async () => {
    const server = await serve()
    const idle = await connect(200)
    for (const client of idle) await client.get()
    // Not fewer: Node opens dozens of files at once while it imports.
    const limited = [
      '-c',
      'ulimit -n 200; exec "$0" "$@"',
      process.execPath,
      example('server'),
      '0',
      control,
    ]
    const successor = spawn('sh', limited, { stdio: ['ignore', 'ignore', 'pipe'] })
    children.push(successor)
    const ended = once(successor, 'exit')
    expect(await text(successor.stderr)).toContain('ERR_FDWIRE_FDS_TRUNCATED')
    expect(await ended).toEqual([1, null])
    for (const client of idle) expect(await client.get()).toBe(String(server.pid))
    expect(await get(port)).toBe(String(server.pid))
  })

  it('continues with the old server if its successor hangs', async () => {
    const server = await startFaulty('short-timeout')
    const [client] = (await connect(1)) as [KeepAliveClient]
    const successor = await startFaulty('keeps-listener')
    expect(successor.firstLine).toBe('received tcp-listener')
    expect(await server.line()).toMatch(/The handover has failed, this process continues to serve/)
    expect(await client.get()).toBe(String(server.pid))
    expect(await get(port)).toBe(String(server.pid))
  })

  it('keeps the connections already handed over if the old server is killed during the handover', async () => {
    const server = await serve()
    const idle = await connect(10)
    const [busy] = (await connect(1)) as [KeepAliveClient]
    busy.write(requestBytes('/slow?ms=600000'))
    await get(port) // the server has read the request before this one
    const successor = await serve()
    for (const client of idle) expect(await client.get()).toBe(String(successor.pid))
    await kill(server.child)
    await expect.poll(() => busy.failure).toBeDefined() // its request was in the killed process
    for (const client of idle) expect(await client.get()).toBe(String(successor.pid))
    const next = await serve()
    expect(await successor.ended).toEqual([0, null])
    for (const client of idle) expect(await client.get()).toBe(String(next.pid))
    expect(await get(port)).toBe(String(next.pid))
  })

  it('continues with the successor if the old server is killed after the handover', async () => {
    const old = await startFaulty('keeps-running')
    const successor = await serve()
    expect(await old.line()).toBe('done')
    await kill(old.child)
    expect(existsSync(control)).toBe(true)
    expect(await get(port)).toBe(String(successor.pid))
    const next = await serve()
    expect(await successor.ended).toEqual([0, null])
    expect(await get(port)).toBe(String(next.pid))
  })
})

/** Starts a server or its successor and waits until it accepts connections. */
const serve = () => start(example('server'), ['0', control])

/** Starts a process of children/handover.mjs, which stops or misbehaves at the point `role`. */
const startFaulty = (role: string) => start(FAULTY, [role, control])

async function start(script: string, args: string[]) {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  stderrOutputs.push(text(child.stderr))
  const ended = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  const firstLine = await line()
  port = Number(/ port (\d+)\.?$/.exec(firstLine)?.[1] ?? port)
  return { child, pid: child.pid as number, ended, line, firstLine }
}

async function kill(child: ChildProcess) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** Returns what the descriptors of a process refer to, without inode numbers. */
function descriptors(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder)
    .map(fd => readlinkSync(`${folder}/${fd}`).replace(/:\[\d+\]$/, ''))
    .sort()
}

async function connect(count: number): Promise<KeepAliveClient[]> {
  const connected = await Promise.all(
    Array.from({ length: count }, () => KeepAliveClient.connect(port)),
  )
  clients.push(...connected)
  return connected
}
