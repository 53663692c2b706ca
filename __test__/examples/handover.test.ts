/** The example of a handover: an HTTP server is replaced under load, and no client notices. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { get, KeepAliveClient, type LoadResult, requestBytes, runLoad } from '../support/http.js'

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const SERVER = file('../../examples/handover/server.mjs')
const PARTY = file('../support/children/handover.mjs')

let directory: string
let control: string
/** Where the servers of a test listen, one after the other. */
let port: number
/** What is to be ended after each test. */
let children: ChildProcess[]
let clients: KeepAliveClient[]
/** What the processes say on stderr. */
let complaints: Promise<string>[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fdwire-handover-'))
  control = join(directory, 'control.sock')
  children = []
  clients = []
  complaints = []
})

afterEach(async () => {
  for (const client of clients) client.close()
  await Promise.all(children.map(kill))
  rmSync(directory, { recursive: true })
  const lines = (await Promise.all(complaints)).join('').split('\n')
  const allowed = /^$|The handover has failed, this process goes on|--trace-warnings/
  expect(lines.filter(line => !allowed.test(line))).toEqual([])
})

it('not one request fails while a server under load is replaced again and again', async () => {
  let server = await serve()
  const fresh = descriptors(server.pid)
  const silent = await connect(20)
  const idle = await connect(20)
  for (const client of idle) expect(await client.get()).toBe(String(server.pid))

  let going = true
  const loads: LoadResult[] = []
  const generate = async (path: string, amount: number) => {
    while (going) loads.push(await runLoad(`http://127.0.0.1:${port}${path}`, amount, 10))
  }
  let alone = 0
  const newcomers = async () => {
    for (; going; alone++) await get(port)
  }
  const total = (key: keyof LoadResult) => loads.reduce((sum, one) => sum + one[key], 0)
  const generators = [generate('/', 2_500), generate('/slow?ms=2', 500), newcomers()]
  const failure = Promise.all(generators).then(() => new Promise<never>(() => {}))

  let handovers = 0
  try {
    while (handovers < 6 || total('sent') < 10_000) {
      // A request that is being answered, on a connection that goes over then.
      const [busy] = (await connect(1)) as [KeepAliveClient]
      const answer = busy.get('/slow?ms=200')
      const before = server
      server = await Promise.race([serve(), failure])
      expect(server.said).toMatch(/I took over/)
      expect([String(before.pid), String(server.pid)]).toContain(await answer)
      expect(await Promise.race([before.ended, failure])).toEqual([0, null])
      expect(await busy.get()).toBe(String(server.pid))
      handovers++
    }
  } finally {
    going = false
  }
  await Promise.all(generators)

  expect(total('failed')).toBe(0)
  expect(total('succeeded')).toBe(total('sent'))
  expect(total('sent')).toBeGreaterThanOrEqual(10_000)
  expect(alone).toBeGreaterThan(0)
  for (const client of clients) expect(await client.get()).toBe(String(server.pid))
  expect(clients.length).toBe(silent.length + idle.length + handovers)
  // The last one has what the first one had, and the connections.
  const sockets = clients.map(() => 'socket')
  await expect.poll(() => descriptors(server.pid)).toEqual([...fresh, ...sockets].sort())

  for (const client of clients) client.close()
  server.child.kill('SIGTERM')
  expect(await server.ended).toEqual([0, null])
  expect(readdirSync(directory)).toEqual([])
}, 120_000)

it('a request of which a part is read is finished by the process that has read it', async () => {
  const server = await serve()
  const [client] = (await connect(1)) as [KeepAliveClient]
  const next = requestBytes('/next')
  // One write is one segment: who has answered the first request has read of the second.
  client.write(requestBytes() + next.slice(0, 9))
  expect(await client.response()).toBe(String(server.pid))
  const successor = await serve()
  expect(await get(port)).toBe(String(successor.pid))
  client.write(next.slice(9))
  expect(await client.response()).toBe(String(server.pid))
  expect(await server.ended).toEqual([0, null])
  expect(await client.get()).toBe(String(successor.pid))
})

it('requests that were sent all at once are all answered, by whomever', async () => {
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

it('a request that waits for its turn is not forgotten when the answer before it goes out', async () => {
  const server = await party('held-response')
  const [client, other] = (await connect(2)) as [KeepAliveClient, KeepAliveClient]
  client.write(requestBytes('/hold') + requestBytes('/next'))
  // By the time that one connection's request is answered those of the other are read, and wait.
  const released = other.get('/release')
  const successor = await serve()
  expect(await released).toBe('released')
  expect(await client.response()).toBe('held')
  expect(await client.response()).toBe('next')
  expect(await server.ended).toEqual([0, null])
  expect(await client.get()).toBe(String(successor.pid))
})

it('many successors that start at once take their turns', async () => {
  const first = await serve()
  const silent = await connect(3)
  const successors = await Promise.all([serve(), serve(), serve()])
  expect(await first.ended).toEqual([0, null])
  // The last one stays; which that is, nobody decides.
  const last = await get(port)
  const others = successors.filter(({ pid }) => String(pid) !== last)
  expect(others).toHaveLength(2)
  for (const other of others) expect(await other.ended).toEqual([0, null])
  for (const client of silent) expect(await client.get()).toBe(last)
})

for (const [stage, got] of [
  ['keeps-listener', 'received tcp-listener'],
  ['keeps-connections', 'received 21'],
] as const) {
  it(`a successor that ${stage} and is killed leaves everything to the old server`, async () => {
    const server = await serve()
    const idle = await connect(10)
    for (const client of idle) await client.get()
    const silent = await connect(10)
    await get(port) // so these are accepted
    const successor = await party(stage)
    expect(successor.said).toBe(got)

    // What comes in mid-handover waits.
    const answers = [...idle, ...silent].map(client => client.get())
    const newcomer = get(port)
    await kill(successor.child)
    for (const answer of [...answers, newcomer]) expect(await answer).toBe(String(server.pid))
    const url = `http://127.0.0.1:${port}/`
    expect(await runLoad(url, 500, 5)).toEqual({ sent: 500, succeeded: 500, failed: 0 })
    for (const client of clients) expect(await client.get()).toBe(String(server.pid))

    const next = await serve()
    expect(await server.ended).toEqual([0, null])
    for (const client of clients) expect(await client.get()).toBe(String(next.pid))
  })
}

it('a successor without room for the connections ends, and the old server goes on', async () => {
  const server = await serve()
  const idle = await connect(60)
  for (const client of idle) await client.get()
  const limited = ['-c', 'ulimit -n 50; exec "$0" "$@"', process.execPath, SERVER, '0', control]
  const successor = spawn('sh', limited, { stdio: ['ignore', 'ignore', 'pipe'] })
  children.push(successor)
  const ended = once(successor, 'exit')
  expect(await text(successor.stderr)).toContain('ERR_FDWIRE_FDS_TRUNCATED')
  expect(await ended).toEqual([1, null])
  for (const client of idle) expect(await client.get()).toBe(String(server.pid))
  expect(await get(port)).toBe(String(server.pid))
})

it('a successor that hangs is told that the old server goes on', async () => {
  const server = await party('short-patience')
  const [client] = (await connect(1)) as [KeepAliveClient]
  const successor = await party('keeps-listener')
  expect(successor.said).toBe('received tcp-listener')
  expect(await server.line()).toMatch(/The handover has failed, this process goes on/)
  expect(await client.get()).toBe(String(server.pid))
  expect(await get(port)).toBe(String(server.pid))
})

it('an old server that is killed in mid-handover leaves what has gone over', async () => {
  const server = await serve()
  const idle = await connect(10)
  const [busy] = (await connect(1)) as [KeepAliveClient]
  busy.write(requestBytes('/slow?ms=600000'))
  await get(port) // so it is read
  const successor = await serve()
  for (const client of idle) expect(await client.get()).toBe(String(successor.pid))
  await kill(server.child)
  await expect.poll(() => busy.failure).toBeDefined() // that one only the dead could answer
  for (const client of idle) expect(await client.get()).toBe(String(successor.pid))
  const next = await serve()
  expect(await successor.ended).toEqual([0, null])
  for (const client of idle) expect(await client.get()).toBe(String(next.pid))
  expect(await get(port)).toBe(String(next.pid))
})

it('an old server that is killed when it is done leaves a whole one', async () => {
  const old = await party('keeps-running')
  const successor = await serve()
  expect(await old.line()).toBe('done')
  await kill(old.child)
  expect(existsSync(control)).toBe(true)
  expect(await get(port)).toBe(String(successor.pid))
  const next = await serve()
  expect(await successor.ended).toEqual([0, null])
  expect(await get(port)).toBe(String(next.pid))
})

/** Starts a server, or the successor of that which is there, and waits until it accepts. */
const serve = () => start(SERVER, ['0', control])

/** Starts one that stops where it is told to. */
const party = (role: string) => start(PARTY, [role, control])

async function start(script: string, args: string[]) {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  children.push(child)
  complaints.push(text(child.stderr))
  const ended = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  const said = await line()
  port = Number(/ at (?:port )?(\d+)\.?$/.exec(said)?.[1] ?? port)
  return { child, pid: child.pid as number, ended, line, said }
}

async function kill(child: ChildProcess) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** What a process has open, without what is different in each. */
function descriptors(pid: number): string[] {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder)
    .map(fd => readlinkSync(`${folder}/${fd}`).replace(/:\[\d+\]$/, ''))
    .sort()
}

async function connect(count: number): Promise<KeepAliveClient[]> {
  const made = await Promise.all(Array.from({ length: count }, () => KeepAliveClient.connect(port)))
  clients.push(...made)
  return made
}
