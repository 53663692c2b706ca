// @ts-check
/**
 * The usual code over `node:net`: one Buffer and one write per message, and a receiver that appends
 * each chunk to a Buffer. `how`: `text`, `json`, `buffer`.
 */

import { connect, createServer } from 'node:net'
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

/** @typedef {import('node:net').Socket} Socket */

/** Size of the length before each message (bytes). */
const HEAD = 4

if (options.receives) receive()
else await send()

function receive() {
  const take = new Tally().taker()
  const server = createServer(socket => {
    onMessage(socket, message => {
      take(message)
      if (options.trips) write(socket, message)
    })
  })
  server.listen({ path: options.path, backlog: 4096 }, () => report({ event: 'ready' }))
}

async function send() {
  const receiver = startReceiver()
  const ring = messages()
  /** @type {(() => Promise<void>) | undefined} */
  let batch
  await onGo(receiver, async () => {
    if (!batch) {
      for (let i = 0; i < options.idle; i++) onMessage(await connected(), () => {})
      const socket = await connected()
      batch = options.trips ? trips(socket, ring) : () => oneWay(socket, ring)
    }
    await batch()
  })
}

/** @param {Socket} socket @param {any[]} ring */
function oneWay(socket, ring) {
  return sendBatch((index, resume) => {
    const room = write(socket, ring[index])
    if (!room) socket.once('drain', resume)
    return room
  })
}

/** @param {Socket} socket @param {any[]} ring */
function trips(socket, ring) {
  const tally = new Tally()
  const take = tally.taker()
  const trips = new RoundTrips(index => void write(socket, ring[index]), tally)
  onMessage(socket, message => {
    take(message)
    trips.end()
  })
  return () => trips.run()
}

/** @param {Socket} socket @param {(message: any) => void} take */
function onMessage(socket, take) {
  let pending = Buffer.alloc(0)
  socket.on('data', chunk => {
    pending = Buffer.concat([pending, chunk])
    while (pending.length >= HEAD) {
      const end = HEAD + pending.readUInt32BE(0)
      if (pending.length < end) break
      take(decode(pending.subarray(HEAD, end)))
      pending = pending.subarray(end)
    }
  })
}

/** @param {Socket} socket @param {any} message */
function write(socket, message) {
  const body = encode(message)
  const head = Buffer.alloc(HEAD)
  head.writeUInt32BE(body.length)
  return socket.write(Buffer.concat([head, body]))
}

/** @returns {Promise<Socket>} */
function connected() {
  return new Promise(resolve => {
    const socket = connect(options.path, () => resolve(socket))
  })
}

/** @param {any} message */
function encode(message) {
  if (options.how === 'buffer') return message
  return Buffer.from(options.how === 'text' ? message : JSON.stringify(message))
}

/** @param {Buffer} body */
function decode(body) {
  if (options.how === 'buffer') return body
  return options.how === 'text' ? body.toString() : JSON.parse(body.toString())
}
