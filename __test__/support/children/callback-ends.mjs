// Ends its process, or throws, inside of one kind of callback. The arguments are the kind and the way. Runs as a
// worker thread too, with the same two values in `workerData`.
import { subscribe } from 'node:diagnostics_channel'
import { closeSync, openSync } from 'node:fs'
import { Duplex } from 'node:stream'
import { workerData } from 'node:worker_threads'
import { bind, Codec, connect, listen, over, pair, toDuplex } from 'fdwire'

const [kind, way] = workerData ?? process.argv.slice(2)
const LINES = { protocol: 'lines' }
const JSON_LINES = { protocol: 'lines', encoding: 'json' }
const DATAGRAMS = { protocol: 'jsoncomm' }

const ways = {
  exit: () => process.exit(7),
  throw: () => {
    // Whoever survives its callback says so.
    setTimeout(() => process.exit(42), 20)
    throw new Error(`thrown in ${kind}`)
  },
}
/** Ends the process from a callback. Messages and descriptors are under way. */
const end = () => ways[way]()

/** Returns a pair with messages and descriptors in flight in both directions, and something queued. */
function busyPair(options = { protocol: 'length_prefixed', encoding: 'text', maxFds: 8 }) {
  const [a, b] = pair(options)
  const fds = options.protocol === 'lines' ? [] : [openSync('/dev/null', 'r')]
  for (let i = 0; i < 10; i++) {
    a.send(`${i}`, { fds })
    b.send('x'.repeat(100_000), { fds })
  }
  return [a, b]
}

/** Listens, and connects a client. */
async function connected(options, onChannel = () => {}) {
  const listener = await listen(null, { ...LINES, ...options })
  listener.on('connection', onChannel)
  const client = await connect(listener.address, LINES)
  client.on('error', () => {})
  return [listener, client]
}

const encoding = methods => ({ encode: String, decode: String, ...methods })

const kinds = {
  message: () => busyPair()[1].on('message', end),
  malformed() {
    const [a, b] = pair({ protocol: 'raw' })
    const lines = over(toDuplex(b), JSON_LINES)
    lines.on('malformed', end).on('message', () => {})
    a.send('{\n')
  },
  drain() {
    const [a, b] = pair(LINES)
    while (a.send('x'.repeat(10_000))) {}
    a.on('drain', end)
    b.on('message', () => {})
  },
  undelivered() {
    const [a, b] = pair({ ...DATAGRAMS, sendTimeout: 0 })
    while (a.send('x'.repeat(10_000))) {}
    a.on('undelivered', end)
    b.destroy()
  },
  end() {
    const [a, b] = busyPair()
    b.on('message', () => {}).on('end', end)
    a.on('message', () => {})
    a.end()
  },
  close() {
    const [a] = busyPair()
    a.on('close', end)
    a.destroy()
  },
  error() {
    const [a] = busyPair()
    a.on('error', end)
    a.destroy(new Error('fatal'))
  },
  connection: () => connected({}, end),
  allowPeer: () => connected({ allowPeer: end }),
  async drop() {
    const listener = await listen(null, { ...LINES, allowPeer: () => false })
    listener.on('drop', end).on('connection', () => {})
    ;(await connect(listener.address, LINES)).on('error', () => {})
  },
  async 'close of a listener'() {
    const [listener] = await connected({})
    listener.on('close', end)
    listener.close()
  },
  'serve handler'() {
    const [a, b] = pair(LINES)
    b.serve(end)
    a.send('request')
  },
  onError() {
    const [a, b] = pair(LINES)
    b.serve(() => Promise.reject(new Error('failed')), { onError: end })
    a.send('request')
  },
  async 'serve of a listener'() {
    const listener = await listen(null, LINES)
    listener.serve(end)
    const client = await connect(listener.address, LINES)
    client.on('error', () => {})
    client.send('request')
  },
  decode() {
    const [a, b] = pair({ protocol: 'length_prefixed', encoding: encoding({ decode: end }) })
    b.on('message', () => {}).on('malformed', () => {})
    a.send('x')
  },
  encode: () => pair({ protocol: 'lines', encoding: encoding({ encode: end }) })[0].send('x'),
  toJSON: () => pair(JSON_LINES)[0].send({ toJSON: end }),
  match() {
    const [a, b] = pair(LINES)
    a.request('x', { match: end }).catch(() => {})
    a.on('message', () => {})
    b.send('y')
  },
  onMalformed: () =>
    new Codec('lines', { encoding: 'json', onMalformed: end }).push(Buffer.from('{\n')),
  fds() {
    const [a, b] = pair({ protocol: 'raw', maxFds: 8 })
    const onFds = fds => {
      // They belong to the listener, and stay open when a worker thread ends.
      for (const fd of fds) closeSync(fd)
      end()
    }
    toDuplex(b).on('fds', onFds).resume()
    a.send('x', { fds: [0] })
  },
  data() {
    const [a, b] = pair({ protocol: 'raw' })
    toDuplex(b).on('data', end)
    a.send('x')
  },
  'write of a Duplex'() {
    const channel = over(new Duplex({ read() {}, write: end }), LINES)
    channel.on('error', () => {})
    channel.send('x')
  },
  async disconnect() {
    const [listener, client] = await reconnecting()
    client.on('disconnect', end)
    listener.channel.destroy()
  },
  async reconnect() {
    const [listener, client] = await reconnecting()
    client.on('reconnect', end)
    listener.channel.destroy()
  },
  'signal of a request'() {
    const [a] = pair(LINES)
    const aborter = new AbortController()
    aborter.signal.addEventListener('abort', end)
    a.request('x', { signal: aborter.signal }).catch(() => {})
    aborter.abort()
  },
  async receive() {
    const [, b] = busyPair()
    await b.receive()
    end()
  },
  async iterate() {
    const [, b] = busyPair()
    for await (const _ of b) end()
  },
  'diagnostics channel'() {
    subscribe('fdwire:close', end)
    busyPair()[0].destroy()
  },
  async 'datagram message'() {
    const server = await bind(null, DATAGRAMS)
    server.on('message', end)
    const client = await connect(server.localAddress, DATAGRAMS)
    for (let i = 0; i < 5; i++) client.send(i, { fds: [0] })
  },
}

/** Returns a listener, whose latest channel is its property, and a channel that reconnects to it. */
async function reconnecting() {
  const listener = await listen(null, LINES)
  listener.on('connection', channel => {
    listener.channel = channel
  })
  const client = await connect(listener.address, { ...LINES, reconnect: { minDelay: 1 } })
  client.on('error', () => {}).on('message', () => {})
  while (listener.channel === undefined) await new Promise(setImmediate)
  return [listener, client]
}

if (kind === 'list') console.log(JSON.stringify(Object.keys(kinds)))
else {
  // No kind may wait for ever, and none may end because nothing is left to do.
  setTimeout(() => process.exit(43), 60_000)
  await kinds[kind]()
}
