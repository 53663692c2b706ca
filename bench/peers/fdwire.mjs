// @ts-check
/**
 * fdwire. `how`: `buffer`, `text` or `json`; before it `sendAll` or `request`, if not `send`.
 */

import { adopt, bind, connect, listen, pair } from 'fdwire'
import {
  messages,
  onGo,
  openFds,
  options,
  RoundTrips,
  report,
  sendBatch,
  startReceiver,
  Tally,
} from './common.mjs'

/** @typedef {any} Channel @typedef {any} FdSet */

/** The largest batch of `sendAll` (bytes): what the kernel does not take at once is copied. */
const SEND_ALL = 256 * 1024

const encoding = ['text', 'buffer'].includes(options.how) ? options.how : 'json'
/** @type {any} */
const protocol = options.stream
  ? {
      protocol: 'length_prefixed',
      encoding,
      maxFds: options.fds,
      // JSON adds a few bytes to the size of a lone message.
      maxMessage: Math.max(options.size + 1024, 2 ** 24),
    }
  : {
      protocol: encoding === 'buffer' ? 'raw' : 'jsoncomm',
      type: options.seqpacket ? 'seqpacket' : 'dgram',
    }

if (options.busyPoll > 0) protocol.busyPoll = options.busyPoll

if (options.receives) await receive()
else await send()

async function receive() {
  const tally = new Tally()
  if (options.stream) {
    const listener = await listen(options.path, { ...protocol, backlog: 4096 })
    listener.on('connection', channel => reply(channel, tally, fds => ({ fds })))
  } else if (options.pair) reply(adopt(3, protocol), tally, fds => ({ fds }))
  else reply(await bind(options.path, protocol), tally, (fds, from) => ({ fds, to: from }))
  report({ event: 'ready' })
}

/**
 * @param {Channel} channel
 * @param {Tally} tally
 * @param {(fds: FdSet, from: any) => object} back returns the options of a reply
 */
function reply(channel, tally, back) {
  take(channel, tally, (value, fds, from) => {
    if (!options.trips) return
    if (options.delay === 0) channel.send(value, back(fds, from))
    else setTimeout(() => channel.send(value, back(fds, from)), options.delay)
  })
}

async function send() {
  const [ours, theirs] = options.pair ? pair(protocol) : []
  // When spawn returns, the child has its own descriptor; ours would keep that end of the pair
  // open.
  const receiver = startReceiver(theirs ? [theirs.fd] : [])
  theirs?.destroy()
  /** Connected by the first batch, when the receiver has bound its path. @type {Channel} */
  let channel = ours
  const prepare = options.trips ? trips : options.way === 'sendAll' ? sendAll : sendOne
  /** @type {(() => Promise<void>) | undefined} */
  let batch
  await onGo(receiver, async () => {
    if (!channel) {
      for (let i = 0; i < options.idle; i++) await connectIdle()
      channel = await connect(options.path, protocol)
    }
    batch ??= prepare(channel)
    await batch()
  })
}

async function connectIdle() {
  const channel = /** @type {Channel} */ (await connect(options.path, protocol))
  channel.on('message', () => {})
}

/** @param {Channel} channel */
function sendOne(channel) {
  const fds = openFds()
  const ring = messages()
  // A program passes no options if it has no descriptors to send.
  const more = fds.length > 0 ? { fds } : undefined
  /** @param {number} index */
  const one = index => channel.send(ring[index], more)
  return () => sendBatch((index, resume) => one(index) || !channel.once('drain', resume))
}

/**
 * Sends many messages of the ring in one call. The length of a batch must be a multiple of that of
 * the ring.
 * @param {Channel} channel
 */
function sendAll(channel) {
  const ring = messages()
  const count = Math.min(ring.length, Math.max(1, Math.floor(SEND_ALL / options.size)))
  const parts = Array.from({ length: ring.length / count }, (_, part) =>
    ring.slice(part * count, (part + 1) * count),
  )
  return () =>
    sendBatch((index, resume) => {
      if (index % count !== 0) return true
      return channel.sendAll(parts[(index % ring.length) / count]) || !channel.once('drain', resume)
    })
}

/** @param {Channel} channel */
function trips(channel) {
  const fds = openFds()
  const ring = messages()
  const more = fds.length > 0 ? { fds } : undefined
  const tally = new Tally()
  if (options.way === 'request') {
    const trips = new RoundTrips(async index => {
      const { value, fds } = await channel.request(ring[index], more)
      tally.takeFds(fds.length, i => fds.get(i))
      tally.takeValue(value)
      fds.close()
      trips.end()
    }, tally)
    return () => trips.run()
  }
  const trips = new RoundTrips(index => channel.send(ring[index], more), tally)
  take(channel, tally, () => trips.end())
  return () => trips.run()
}

/**
 * @param {Channel} channel
 * @param {Tally} tally
 * @param {(value: any, fds: FdSet, from: any) => void} then
 */
function take(channel, tally, then) {
  const passes = options.fds > 0
  const takeValue = tally.taker()
  channel.on(
    'message',
    (/** @type {any} */ value, /** @type {FdSet} */ fds, /** @type {any} */ from) => {
      tally.takeFds(fds.length, i => fds.get(i))
      takeValue(value)
      then(value, fds, from)
      if (passes) fds.close()
    },
  )
}
