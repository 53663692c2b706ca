// @ts-check
/**
 * The contenders fdwire and cluster of the group `dispatch`: a front process that accepts HTTP
 * connections, and `how` worker processes (`fdwire 2`). The floor is the client. It connects to
 * `path`, where the front tells the port and learns that a batch has ended.
 */

import { fork } from 'node:child_process'
import cluster from 'node:cluster'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { connect, listen } from 'fdwire'
import { Dispatcher, receiveConnections } from 'fdwire/dispatch'
import { options, report } from './common.mjs'

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

/** The longest that the connections of a batch may take to close (ms). */
const CLOSING = 10_000

const CHANNEL = /** @type {const} */ ({ protocol: 'jsoncomm', type: 'seqpacket' })

if (process.send) await serve()
else await front()

async function serve() {
  const body = 'x'.repeat(options.size)
  const server = createServer((_, response) => response.end(body))
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpu: user + system, open: readdirSync('/proc/self/fd').length })
  })
  if (cluster.isWorker) server.listen(0, '127.0.0.1')
  else receiveConnections(await connect(`${options.path}.workers`, CHANNEL), server)
}

async function front() {
  const count = Number(options.how)
  const { port, workers } = await (options.way === 'cluster' ? startCluster : startFdwire)(count)
  const control = net.createServer(async client => {
    const { open } = await usage(workers)
    client.on('data', () => reportBatch(workers, open))
    client.write(`${port}\n`)
  })
  control.listen(options.path)
  await once(control, 'listening')
  report({ event: 'ready' })
}

/** @param {number} count */
async function startCluster(count) {
  cluster.schedulingPolicy = cluster.SCHED_RR
  /** @type {ChildProcess[]} */
  const workers = []
  let port = 0
  for (let i = 0; i < count; i++) {
    const worker = cluster.fork()
    workers.push(worker.process)
    const [address] = await once(worker, 'listening')
    port = address.port
  }
  return { port, workers }
}

/** @param {number} count */
async function startFdwire(count) {
  const listener = await listen(`${options.path}.workers`, CHANNEL)
  const dispatcher = new Dispatcher()
  /** @type {ChildProcess[]} */
  const workers = []
  for (let i = 0; i < count; i++) {
    workers.push(fork(fileURLToPath(import.meta.url), process.argv.slice(2)))
    const [channel] = await once(listener, 'connection')
    dispatcher.add(channel)
  }
  const server = net.createServer()
  dispatcher.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  return { port, workers }
}

/**
 * Reports a batch when no more descriptors are open than before the first one: the last connections
 * close after the client has its responses.
 * @param {ChildProcess[]} workers
 * @param {number} before
 */
async function reportBatch(workers, before) {
  const end = String(process.hrtime.bigint())
  let used = await usage(workers)
  for (const stop = Date.now() + CLOSING; used.open > before && Date.now() < stop; ) {
    await delay(50)
    used = await usage(workers)
  }
  report({ event: 'done', end, wrong: 0, ...used })
}

/** Returns the CPU time and the open descriptors of all processes. @param {ChildProcess[]} workers */
async function usage(workers) {
  const { user, system } = process.cpuUsage()
  let cpu = user + system
  let open = readdirSync('/proc/self/fd').length
  for (const worker of workers) {
    worker.send('report')
    const [used] = await once(worker, 'message')
    cpu += used.cpu
    open += used.open
  }
  return { open, cpu }
}
