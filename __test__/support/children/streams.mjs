// Streams in a process of their own: run with a case and its arguments (JSON), prints a line of JSON
// for each thing told.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { adopt, connect, listen, pair } from 'fdwire'

const FRAMES = { protocol: 'length_prefixed' }
const LINES = { protocol: 'lines' }
const tell = what => console.log(JSON.stringify(what))
/** What the process takes of memory (MiB); peak: at the most so far. */
const memory = name => Number(/\d+/.exec(new RegExp(`${name}:.*`).exec(status())[0])[0]) / 1024
const status = () => readFileSync('/proc/self/status', 'utf8')
process.on('warning', ({ code }) => tell({ warning: code }))

const cases = {
  /** Connects, sends two messages and the beginning of a third, and waits to be killed. */
  async half(address) {
    const channel = await connect(address, { protocol: 'raw', type: 'stream' })
    channel.send(Buffer.concat([Buffer.from('one\ntwo\nthr')]))
    await channel.flush()
    tell('sent')
  },

  /** Connects, and waits to be killed. */
  async idle(address) {
    await connect(address, LINES)
    tell('connected')
  },

  /** Connects and never reads, though it is sent much. */
  async deaf(address) {
    const channel = await connect(address, FRAMES)
    channel.send('here')
    await channel.flush()
    tell('connected')
  },

  /** Talks over a socket that it has inherited. */
  async inherits() {
    const channel = adopt(3, LINES)
    tell('ready')
    await once(process.stdin, 'data')
    channel.send('from the child')
    await channel.flush()
    const { value } = await channel.receive()
    tell(value)
    process.exit()
  },

  /** Listens on what it was given, as systemd gives it. */
  async given() {
    const listener = await listen({ fd: 3 }, LINES)
    tell(listener.address)
    for await (const channel of listener) {
      channel.on('message', value => channel.send(`echo ${value}`))
    }
  },

  /** Tries to listen on a path, and tells who it is to who connects. */
  async race(path) {
    try {
      const listener = await listen(path, LINES)
      listener.on('connection', channel => channel.send(`${process.pid}`))
      tell({ won: process.pid })
    } catch (error) {
      tell({ lost: error.code })
      process.exit()
    }
  },

  /** Accepts with few descriptors; what it was sent it sends back, and closes. */
  async scarce() {
    const listener = await listen('', FRAMES)
    listener.on('connection', channel => {
      channel.on('message', value => channel.send(value))
    })
    tell(listener.address)
  },

  /** Many connections at once, each with messages both ways. */
  async crowd(count) {
    const listener = await listen('', { ...LINES, backlog: 4_096 })
    let served = 0
    listener.on('connection', channel => {
      channel.on('message', value => channel.send(`${value} ${++served}`))
    })
    const clients = await Promise.all(
      Array.from({ length: count }, () => connect(listener.address, { ...LINES, timeout: 0 })),
    )
    const talk = async (client, i) => {
      for (let round = 0; round < 3; round++) {
        const { value } = await client.request(`${i}`)
        if (value.split(' ')[0] !== `${i}`) throw new Error(`${value} to ${i}`)
      }
    }
    await Promise.all(clients.map(talk))
    tell({ served, connections: listener.connections })
    await Promise.all(clients.map(client => client.close()))
    while (listener.connections > 0) await setImmediate()
    tell(listener.connections)
    await listener.close()
  },

  /** Writes for ever into a channel that is paused after its first message. */
  async flooded(address) {
    const channel = await connect(address, { ...FRAMES })
    await channel.receive()
    await setImmediate()
    const before = memory('VmRSS')
    tell('paused')
    await once(process.stdin, 'data')
    tell({ grown: memory('VmRSS') - before, unread: channel.stats.unread })
    process.exit()
  },

  /** Reads what a header promises, and is never sent. */
  async promised(protocol, bytes) {
    const [raw, other] = pair({ protocol: 'raw', type: 'stream' })
    const channel = adopt(other.detach(), { protocol, maxMessage: 2 ** 30 })
    const before = memory('VmHWM')
    channel.on('message', () => {})
    raw.send(Buffer.from(bytes, 'hex'))
    await raw.flush()
    for (let i = 0; i < 20; i++) await setImmediate()
    tell({ grown: memory('VmHWM') - before, inHand: channel.stats.inHand })
    process.exit()
  },

  /** Exits with something unsent. */
  async exits(address) {
    const channel = await connect(address, FRAMES)
    channel.send('gathered')
    channel.send('and not written')
    process.exit()
  },

  /** A peer that ends its side, of which nobody hears, and that is told as an error or not. */
  async unheard(bytes) {
    process.on('uncaughtException', error => tell(`uncaught ${error.code}`))
    const [raw, other] = pair({ protocol: 'raw', type: 'stream' })
    const channel = adopt(other.detach(), LINES)
    channel.on('message', value => tell(value))
    channel.on('close', () => tell('close'))
    raw.send(bytes)
    raw.end()
    channel.on('close', () => raw.destroy())
  },

  /** Connections that nobody has seen yet, and that are reset. */
  async unseen() {
    process.on('uncaughtException', error => tell(`uncaught ${error.code}`))
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
    tell(listener.connections)
    await listener.close()
  },

  /** Starts a child of its own that has one end, and goes. */
  async leaves() {
    const [a, b] = pair({ ...LINES, type: 'stream' })
    const fd = b.detach()
    spawn('sleep', ['1'], { stdio: ['ignore', 'ignore', 'ignore', fd] }).unref()
    a.send('x')
    await a.flush()
    await a.close()
    tell('closed')
    process.exit()
  },
}

const [name, ...rest] = process.argv.slice(2)
await cases[name](...rest.map(one => JSON.parse(one)))
