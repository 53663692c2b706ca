/** Worker processes come and go, die, stop reading and run out of descriptors. */
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { receiveConnections } from 'fdwire/dispatch'
import { expect, it, vi } from 'vitest'
import {
  afterTest,
  channels,
  client,
  eventually,
  front,
  httpServer,
  localWorker,
  nodeWorker,
  pythonWorker,
  received,
} from '../support/dispatch.js'
import { get, runLoad } from '../support/http.js'
import { cleanUpAfterEach, countOpenFds, Peer, testPath } from '../support/processes.js'
import { countFdsOf } from '../support/rights.js'

cleanUpAfterEach()
// Tests start up to six processes, one after the other.
vi.setConfig({ testTimeout: 120_000 })

const GET = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'

it('a worker in Python, with the standard library only, serves connections with head and meta', async () => {
  const { dispatcher, port } = await front()
  const { channel, peer } = await pythonWorker()
  const before = countFdsOf(peer.child.pid)
  const worker = dispatcher.add(channel)
  const bodies = await Promise.all(Array.from({ length: 100 }, (_, i) => get(port, `/${i}`)))
  expect(bodies.map(body => JSON.parse(body).request)).toEqual(
    bodies.map((_, i) => `GET /${i} HTTP/1.1`),
  )
  await eventually(() => expect(worker.connections).toBe(0))
  expect(countFdsOf(peer.child.pid)).toBe(before)
})

it('a killed worker loses its own connections only, and others replace it', async () => {
  const { dispatcher, port } = await front()
  const [first, second] = [await nodeWorker(), await nodeWorker()]
  for (const { channel } of [first, second]) dispatcher.add(channel)
  const held = []
  for (let i = 0; i < 4; i++) {
    const socket = await client(port, GET.replace('/', '/hold'))
    await once(socket, 'data')
    held.push({ socket, closed: received(socket) })
  }
  const removed = once(dispatcher, 'remove')
  await first.peer.stop('SIGKILL')
  await removed
  expect(dispatcher.workers.map(({ channel }) => channel)).toEqual([second.channel])
  await Promise.all([held[0]?.closed, held[2]?.closed])
  expect(held.map(({ socket }) => socket.destroyed)).toEqual([true, false, true, false])
  for (let i = 0; i < 3; i++) expect(await get(port)).toBe(String(second.peer.child.pid))
  const third = await nodeWorker()
  dispatcher.add(third.channel)
  const pids = await Promise.all([get(port), get(port)])
  expect(pids.sort()).toEqual([second, third].map(({ peer }) => String(peer.child.pid)).sort())
})

/** Makes requests, each over a new connection, until `stop` is called, which returns the counts. */
function requests(port: number, clients: number) {
  const counts = { succeeded: 0, failed: 0 }
  let isOver = false
  const run = async () => {
    while (!isOver) {
      await get(port).then(
        () => counts.succeeded++,
        () => counts.failed++,
      )
    }
  }
  const runs = Promise.all(Array.from({ length: clients }, run))
  const reach = (succeeded: number) =>
    eventually(() => expect(counts.succeeded).toBeGreaterThanOrEqual(succeeded))
  const stop = async () => {
    isOver = true
    await runs
    return counts
  }
  return { reach, stop }
}

it('no request fails while workers are removed and replaced under load', async () => {
  const { dispatcher, port } = await front()
  const workers = [await nodeWorker(), await nodeWorker()]
  for (const { channel } of workers) dispatcher.add(channel)
  const before = countOpenFds()
  const load = requests(port, 8)
  for (let i = 1; i <= 4; i++) {
    await load.reach(300 * i)
    const next = await nodeWorker()
    dispatcher.add(next.channel)
    workers.push(next)
    const old = workers.shift() as typeof next
    expect([dispatcher.remove(old.channel), dispatcher.remove(old.channel)]).toEqual([true, false])
    // It serves the connections that it has, and exits.
    await old.channel.close()
    expect(await old.peer.exited).toBe(0)
  }
  expect(await load.stop()).toMatchObject({ failed: 0 })
  await eventually(() => expect(countOpenFds()).toBeLessThanOrEqual(before))
})

it('kept-alive connections stay with their worker when it is removed, and none of their requests fails', async () => {
  const { dispatcher, port } = await front({ pick: 'least-connections' })
  const old = [await nodeWorker(), await nodeWorker()]
  for (const { channel } of old) dispatcher.add(channel)
  const load = runLoad(`http://127.0.0.1:${port}/`, 5000, 10)
  await eventually(() => expect(dispatcher.workers.map(w => w.connections)).toEqual([5, 5]))
  const next = await nodeWorker()
  dispatcher.add(next.channel)
  for (const { channel } of old) {
    dispatcher.remove(channel)
    await channel.close()
  }
  expect(await get(port)).toBe(String(next.peer.child.pid))
  expect(await load).toEqual({ sent: 5000, succeeded: 5000, failed: 0 })
  for (const { peer } of old) expect(await peer.exited).toBe(0)
})

it('workers that are killed under load fail only the requests that they have', async () => {
  const { dispatcher, port } = await front()
  const workers = [await nodeWorker(), await nodeWorker()]
  for (const { channel } of workers) dispatcher.add(channel)
  const [clients, kills] = [8, 4]
  const load = requests(port, clients)
  for (let i = 1; i <= kills; i++) {
    await load.reach(300 * i)
    const next = await nodeWorker()
    dispatcher.add(next.channel)
    workers.push(next)
    const removed = once(dispatcher, 'remove')
    await workers.shift()?.peer.stop('SIGKILL')
    await removed
  }
  const { failed } = await load.stop()
  // Each killed worker had at most the connections of all clients.
  expect(failed).toBeLessThanOrEqual(kills * clients)
  expect(await get(port)).toMatch(/^\d+$/)
})

it('a worker that never reads delays no other connection', async () => {
  const { dispatcher, port } = await front()
  const [stuck, other] = channels()
  const blocked = dispatcher.add(stuck)
  dispatcher.add(localWorker('a').channel)
  const sockets = []
  while (!blocked.isFull) sockets.push(await client(port, GET))
  // From now on the other worker gets every connection.
  for (let i = 0; i < 5; i++) expect(await get(port)).toBe('a GET /')
  expect([blocked.connections, dispatcher.waiting]).toEqual([64, 0])
  const closed = sockets.slice(0, 1).map(received)
  stuck.destroy()
  other.destroy()
  await Promise.all(closed)
  expect(dispatcher.workers).toHaveLength(1)
})

it('a stopped worker gets its window of connections at most, and gives none back', async () => {
  const { dispatcher, port } = await front()
  const { channel, peer } = await nodeWorker()
  const worker = dispatcher.add(channel)
  expect(await get(port)).toBe(String(peer.child.pid))
  await eventually(() => expect(worker.connections).toBe(0))
  peer.child.kill('SIGSTOP')
  const sockets = []
  while (!worker.isFull) sockets.push(await client(port, GET))
  expect(worker.connections).toBe(64)
  dispatcher.add(localWorker('a').channel)
  expect(await get(port)).toBe('a GET /')
  const responses = sockets.map(socket => once(socket, 'data'))
  peer.child.kill('SIGCONT')
  for (const [chunk] of await Promise.all(responses.slice(0, 64))) {
    expect(String(chunk)).toContain('200 OK')
  }
})

it('a worker that runs out of descriptors receives no more until some are free, and loses none', async () => {
  const { dispatcher, port } = await front()
  const { channel, peer } = await nodeWorker(160)
  const worker = dispatcher.add(channel)
  const drops: unknown[] = []
  dispatcher.on('drop', dropped => drops.push(dropped))
  const held = []
  for (let i = 0; i < 200; i++) held.push(await client(port, GET))
  await eventually(() => expect(worker.isFull).toBe(true))
  let responses = 0
  const all = held.map(async socket => {
    const [chunk] = await once(socket, 'data')
    expect(String(chunk)).toContain('200 OK')
    responses++
    socket.destroy()
  })
  await Promise.all(all)
  expect([responses, drops]).toEqual([200, []])
  expect(await get(port)).toBe(String(peer.child.pid))
})

it('a front that runs out of descriptors accepts again when some are free', async () => {
  const { peer, port } = await limitedFront()
  const before = countFdsOf(peer.child.pid)
  const idle = await Promise.all(Array.from({ length: 100 }, () => client(port)))
  await eventually(() => expect(countFdsOf(peer.child.pid)).toBeGreaterThan(before + 20))
  const waiting = get(port, '/x')
  for (const socket of idle) socket.destroy()
  expect(await waiting).toMatch(/^\d+$/)
  await eventually(() => expect(countFdsOf(peer.child.pid)).toBeLessThanOrEqual(before + 2))
})

/** Starts a front with few descriptors, which peeks without time limit, and its worker. */
async function limitedFront() {
  const program = testPath('support/children/dispatch-front.mjs')
  const peer = new Peer(process.execPath, [program, '64'])
  const { port } = await peer.receive()
  return { peer, port: port as number }
}

it('a worker that cannot receive a message reports it, and its connections count as refused', async () => {
  const { dispatcher, port } = await front()
  const [ours, theirs] = channels()
  const worker = dispatcher.add(ours)
  theirs.send({ window: 2 })
  const drops: unknown[] = []
  dispatcher.on('drop', dropped => drops.push(dropped))
  const message = theirs.receive()
  const socket = await client(port)
  ;(await message)?.fds.close()
  expect([await received(socket), worker.connections]).toEqual(['', 1])
  theirs.send({ taken: 1, refused: 1 })
  await eventually(() => expect(drops).toEqual([{ reason: 'refused' }]))
  expect(worker.connections).toBe(0)
})

it('wrong reports of a worker, and wrong messages to one, cause no wrong counts and no leaks', async () => {
  const { dispatcher, port } = await front()
  const { channel, worker: end, server } = localWorker('a')
  const worker = dispatcher.add(channel)
  for (const report of [
    { closed: 9 },
    { taken: 1e9 },
    { taken: -1 },
    { window: 'x' },
    null,
    3,
    [],
  ]) {
    end.send(report)
  }
  expect(await get(port)).toBe('a GET /')
  await eventually(() => expect(worker.connections).toBe(0))

  const file = openSync('/dev/null', 'r')
  const [ours, theirs] = channels()
  const ended = receiveConnections(theirs, server)
  ours.send({ other: 'message' })
  ours.send({ connections: [null, null] }, { fds: [file] })
  await expect(ended).rejects.toMatchObject({ code: 'ERR_FDWIRE_BAD_BODY' })
  const [again, other] = channels()
  const failed = receiveConnections(other, httpServer('b'))
  again.send({ connections: [null] }, { fds: [file] })
  closeSync(file)
  await expect(failed).rejects.toMatchObject({ code: 'ERR_FDWIRE_FD_KIND' })
})

it('connections wait for a worker at most for waitTimeout, and at most maxWaiting of them', async () => {
  const { dispatcher, port } = await front({
    pick: () => dispatcher.workers[0],
    maxWaiting: 2,
    waitTimeout: 200,
  })
  const [ours, theirs] = channels()
  theirs.send({ window: 1 })
  const worker = dispatcher.add(ours)
  afterTest(() => theirs.destroy())
  const drops: string[] = []
  dispatcher.on('drop', ({ reason }) => drops.push(reason))
  await client(port)
  await eventually(() => expect(worker.isFull).toBe(true))
  const sockets = [await client(port), await client(port), await client(port)]
  await Promise.all(sockets.map(received))
  expect(drops).toEqual(['overload', 'timeout', 'timeout'])
})
