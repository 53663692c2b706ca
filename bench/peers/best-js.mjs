// @ts-check
/**
 * The fastest JavaScript over `node:net` that we found: the `onread` option with a reused receive
 * buffer, hand-written framing, and several messages per write. `how`: `text`, `json`, `buffer`,
 * or `transient buffer`, whose Buffers are valid only during the callback.
 */

import { connect, createServer, Socket } from 'node:net'
import { Incoming, Outgoing } from './best-js-wire.mjs'
import {
  messages,
  onGo,
  options,
  RoundTrips,
  report,
  sendBatch,
  startReceiver,
  Tally,
} from './common.mjs'

if (options.receives) receive()
else await send()

function receive() {
  const take = new Tally().taker()
  const server = createServer({ pauseOnConnect: true }, accepted => {
    /** @type {Outgoing | undefined} */
    let outgoing
    const incoming = new Incoming(
      message => {
        take(message)
        if (!options.trips) return
        outgoing ??= new Outgoing(socket, options.how)
        outgoing.send(message)
      },
      options.how,
      options.way === 'transient',
    )
    const socket = withOwnBuffer(accepted, incoming)
  })
  server.listen({ path: options.path, backlog: 4096 }, () => report({ event: 'ready' }))
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

/** Connects the idle sockets, then the one for the messages. @param {Incoming} incoming */
async function connectAll(incoming) {
  for (let i = 0; i < options.idle; i++) await connected(new Incoming(() => {}, options.how))
  return new Outgoing(await connected(incoming), options.how)
}

async function oneWay() {
  const ring = messages()
  const outgoing = await connectAll(new Incoming(() => {}, options.how))
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
  const outgoing = await connectAll(incoming)
  const trips = new RoundTrips(index => void outgoing.send(ring[index]), tally)
  return () => trips.run()
}

/** @param {Incoming} incoming @returns {Promise<Socket>} */
function connected({ onread }) {
  return new Promise(resolve => {
    const socket = connect({ path: options.path, onread }, () => resolve(socket))
  })
}
