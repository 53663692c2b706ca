// @ts-check
/** fdwire; `how` says what is sent: `buffer`, `json`, `all` (sendAll), `request`. */

import { adopt, bind, connect, pair } from 'fdwire'
import {
  buffers,
  onGo,
  openFds,
  options,
  say,
  sendBatch,
  startReceiver,
  Tally,
  Trips,
  values,
} from './common.mjs'

/** @typedef {any} Channel @typedef {any} FdSet */

const bytes = options.how === 'buffer'
const protocol = bytes
  ? { protocol: 'raw', type: 'dgram' }
  : { protocol: 'jsoncomm', type: 'dgram' }

if (options.receives) await receive()
else await send()

async function receive() {
  const channel = options.pair ? adopt(3, protocol) : await bind(options.path, protocol)
  const tally = new Tally()
  listen(channel, tally, (value, fds, from) => {
    if (options.trips) channel.send(value, options.pair ? { fds } : { fds, to: from })
  })
  say({ event: 'ready' })
}

async function send() {
  const [ours, theirs] = options.pair ? pair(protocol) : []
  // The child has its copy when spawn returns; ours would keep the pair's other end open.
  const receiver = startReceiver(theirs ? [theirs.fd] : [])
  theirs?.destroy()
  /** Connected when the first line says that the receiver has bound its path. */
  let channel = ours
  const prepare = options.trips ? trips : options.how === 'all' ? sendAll : sendOne
  /** @type {(() => Promise<void>) | undefined} */
  let batch
  await onGo(receiver, async () => {
    channel ??= await connect(options.path, protocol)
    batch ??= prepare(channel)
    await batch()
  })
}

/** @param {Channel} channel */
function sendOne(channel) {
  const fds = openFds()
  const messages = bytes ? buffers : values
  // Most messages carry no options at all, so neither do these where they have no descriptors.
  const more = fds.length > 0 ? { fds } : undefined
  /** @param {number} index */
  const one = index => channel.send(messages[index], more)
  return () => sendBatch((index, resume) => one(index) || !channel.once('drain', resume))
}

/**
 * One turn of the ring at a time, so a batch must be a multiple of it.
 * @param {Channel} channel
 */
function sendAll(channel) {
  return () =>
    sendBatch((index, resume) => {
      if (index % values.length !== 0) return true
      return channel.sendAll(values) || !channel.once('drain', resume)
    })
}

/** @param {Channel} channel */
function trips(channel) {
  const fds = openFds()
  const more = fds.length > 0 ? { fds } : undefined
  const tally = new Tally()
  if (options.how === 'request') {
    const trips = new Trips(async index => {
      const reply = await channel.request(values[index], more)
      take(tally, reply.value, reply.fds)
      reply.fds.close()
      trips.answered()
    }, tally)
    return () => trips.run()
  }
  const trips = new Trips(index => channel.send(values[index], more), tally)
  listen(channel, tally, () => trips.answered())
  return () => trips.run()
}

/**
 * @param {Channel} channel
 * @param {Tally} tally
 * @param {(value: any, fds: FdSet, from: any) => void} then
 */
function listen(channel, tally, then) {
  const passes = options.fds > 0
  channel.on(
    'message',
    (/** @type {any} */ value, /** @type {FdSet} */ fds, /** @type {any} */ from) => {
      take(tally, value, fds)
      then(value, fds, from)
      if (passes) fds.close()
    },
  )
}

/**
 * @param {Tally} tally
 * @param {any} value
 * @param {FdSet} fds
 */
function take(tally, value, fds) {
  tally.takeFds(fds.length, i => fds.get(i))
  if (bytes) tally.takeBuffer(value)
  else tally.takeValue(value)
}
