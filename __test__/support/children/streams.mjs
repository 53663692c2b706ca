// Streams in their own process. Runs the case named by the first argument with the remaining
// arguments (JSON), and prints each result as one line of JSON.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { adopt, connect, listen, pair } from 'fdwire'
import { limitFds } from './limit-fds.mjs'

const FRAMES = { protocol: 'length_prefixed' }
const LINES = { protocol: 'lines' }
const report = value => console.log(JSON.stringify(value))
/**
 * A memory figure of this process from /proc/self/status: VmRSS (current) or VmHWM (peak), in MiB.
 */
const memory = name => Number(/\d+/.exec(new RegExp(`${name}:.*`).exec(status())[0])[0]) / 1024
const status = () => readFileSync('/proc/self/status', 'utf8')
process.on('warning', ({ code }) => report({ warning: code }))

const cases = {
  /** Connects, sends two messages and the start of a third, and waits to be killed. */
  async 'partial-message'(address) {
    const channel = await connect(address, { protocol: 'raw', type: 'stream' })
    channel.send(Buffer.concat([Buffer.from('one\ntwo\nthr')]))
    await channel.flush()
    report('sent')
  },

  /** Connects and waits to be killed. */
  async idle(address) {
    await connect(address, LINES)
    report('connected')
  },

  /** Connects and never reads. */
  async 'never-reads'(address) {
    const channel = await connect(address, FRAMES)
    channel.send('here')
    await channel.flush()
    report('connected')
  },

  /** Adopts an inherited socket, sends a message and receives one. */
  async inherits() {
    const channel = adopt(3, LINES)
    report('ready')
    await once(process.stdin, 'data')
    channel.send('from the child')
    await channel.flush()
    const { value } = await channel.receive()
    report(value)
    process.exit()
  },

  /** Listens on descriptor 3, as under systemd socket activation, and echoes messages. */
  async 'listen-fd'() {
    const listener = await listen({ fd: 3 }, LINES)
    report(listener.address)
    for await (const channel of listener) {
      channel.on('message', value => channel.send(`echo ${value}`))
    }
  },

  /** Tries to listen on a path; sends its pid to each client. */
  async race(path) {
    try {
      const listener = await listen(path, LINES)
      listener.on('connection', channel => channel.send(`${process.pid}`))
      report({ won: process.pid })
    } catch (error) {
      report({ lost: error.code })
      process.exit()
    }
  },

  /** An echo server in a process with at most `limit` descriptors. */
  async 'echo-server'(limit) {
    limitFds(limit)
    const listener = await listen(null, FRAMES)
    listener.on('connection', channel => {
      channel.on('message', value => channel.send(value))
    })
    report(listener.address)
  },

  /** Opens `count` connections at once and exchanges messages over each. */
  async 'many-connections'(count) {
    const listener = await listen(null, { ...LINES, backlog: 4_096 })
    let served = 0
    listener.on('connection', channel => {
      channel.on('message', value => channel.send(`${value} ${++served}`))
    })
    const clients = await Promise.all(
      Array.from({ length: count }, () => connect(listener.address, { ...LINES, timeout: 0 })),
    )
    const exchange = async (client, i) => {
      for (let round = 0; round < 3; round++) {
        const { value } = await client.request(`${i}`)
        if (value.split(' ')[0] !== `${i}`) throw new Error(`Reply '${value}' to request ${i}`)
      }
    }
    await Promise.all(clients.map(exchange))
    report({ served, connections: listener.connections })
    await Promise.all(clients.map(client => client.close()))
    while (listener.connections > 0) await setImmediate()
    report(listener.connections)
    await listener.close()
  },

  /** Receives one message, stops reading and measures its memory before and after more arrive. */
  async 'stops-reading'(address) {
    const channel = await connect(address, { ...FRAMES })
    await channel.receive()
    await setImmediate()
    const before = memory('VmRSS')
    report('paused')
    await once(process.stdin, 'data')
    report({ grown: memory('VmRSS') - before, unread: channel.stats.unread })
    process.exit()
  },

  /** Receives a header that announces a large message whose body never arrives. */
  async 'announced-length'(protocol, bytes) {
    const [raw, other] = pair({ protocol: 'raw', type: 'stream' })
    const channel = adopt(other.detach(), { protocol, maxMessage: 2 ** 30 })
    const before = memory('VmHWM')
    channel.on('message', () => {})
    raw.send(Buffer.from(bytes, 'hex'))
    await raw.flush()
    for (let i = 0; i < 20; i++) await setImmediate()
    report({ grown: memory('VmHWM') - before, inHand: channel.stats.inHand })
    process.exit()
  },

  /** Calls process.exit() while messages are unsent. */
  async 'exit-with-queue'(address) {
    const channel = await connect(address, FRAMES)
    channel.send('first unsent')
    channel.send('second unsent')
    process.exit()
  },

  /** The peer sends `bytes` and ends; the channel has no 'error' listener. */
  async 'unhandled-error'(bytes) {
    process.on('uncaughtException', error => report(`uncaught ${error.code}`))
    const [raw, other] = pair({ protocol: 'raw', type: 'stream' })
    const channel = adopt(other.detach(), LINES)
    channel.on('message', value => report(value))
    channel.on('close', () => report('close'))
    raw.send(bytes)
    raw.end()
    channel.on('close', () => raw.destroy())
  },

  /** Accepted connections that are reset before their 'connection' event. */
  async 'reset-before-event'() {
    process.on('uncaughtException', error => report(`uncaught ${error.code}`))
    const { createConnection } = await import('node:net')
    const listener = await listen({ host: '127.0.0.1', port: 0 }, LINES)
    const { port } = listener.address
    const sockets = Array.from({ length: 3 }, () => createConnection(port, '127.0.0.1'))
    for (const socket of sockets) socket.on('error', () => {})
    await Promise.all(sockets.map(socket => once(socket, 'connect')))
    listener.once('connection', channel => channel.destroy())
    while (listener.connections < 2) await setImmediate()
    for (const socket of sockets) socket.resetAndDestroy()
    for (let i = 0; i < 50; i++) await setImmediate()
    report(listener.connections)
    await listener.close()
  },

  /** Closes its channel and exits while a child process holds the other end. */
  async 'close-then-exit'() {
    const [a, b] = pair({ ...LINES, type: 'stream' })
    const fd = b.detach()
    spawn('sleep', ['1'], { stdio: ['ignore', 'ignore', 'ignore', fd] }).unref()
    a.send('x')
    await a.flush()
    await a.close()
    report('closed')
    process.exit()
  },
}

const [name, ...rest] = process.argv.slice(2)
await cases[name](...rest.map(arg => JSON.parse(arg)))
