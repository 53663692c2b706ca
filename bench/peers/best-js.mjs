// @ts-check
/**
 * The fastest JavaScript over `node:net` that we found: the `onread` option with a reused receive
 * buffer, hand-written framing, and several messages per write. `how`: `text`, `json`, `buffer`.
 */

import { connect, createServer, Socket } from 'node:net'
import { Incoming, Outgoing } from './best-js-wire.mjs'
import {
  messages,
  onGo,
  options,
  report,
  sendBatch,
  startReceiver,
  Tally,
  Trips,
} from './common.mjs'

if (options.receives) receive()
else await send()

function receive() {
  const take = new Tally().taker()
  const server = createServer({ pauseOnConnect: true }, accepted => {
    /** @type {Outgoing} */
    let outgoing
    const incoming = new Incoming(message => {
      take(message)
      if (options.trips) outgoing.send(message)
    }, options.how)
    outgoing = new Outgoing(withOwnBuffer(accepted, incoming), options.how)
  })
  server.listen(options.path, () => report({ event: 'ready' }))
}

/**
 * Moves the handle of an accepted socket to a new Socket, because only the constructor accepts
 * `onread`.
 * @param {any} accepted
 * @param {Incoming} incoming
 */
function withOwnBuffer(accepted, { onread }) {
  /** @type {any} */
  const taken = { handle: accepted._handle, onread }
  accepted._handle = null
  return new Socket(taken).resume()
}

async function send() {
  const receiver = startReceiver()
  /** @type {(() => Promise<void>) | undefined} */
  let batch
  await onGo(receiver, async () => {
    batch ??= await (options.trips ? trips() : oneWay())
    await batch()
  })
}

async function oneWay() {
  const ring = messages()
  const outgoing = new Outgoing(await connected(new Incoming(() => {}, options.how)), options.how)
  return () =>
    sendBatch((index, resume) => {
      const room = outgoing.send(ring[index])
      if (!room) outgoing.onDrain(resume)
      return room
    })
}

async function trips() {
  const ring = messages()
  const tally = new Tally()
  const take = tally.taker()
  const incoming = new Incoming(message => {
    take(message)
    trips.end()
  }, options.how)
  const outgoing = new Outgoing(await connected(incoming), options.how)
  const trips = new Trips(index => void outgoing.send(ring[index]), tally)
  return () => trips.run()
}

/** @param {Incoming} incoming @returns {Promise<Socket>} */
function connected({ onread }) {
  return new Promise(resolve => {
    const socket = connect({ path: options.path, onread }, () => resolve(socket))
  })
}
