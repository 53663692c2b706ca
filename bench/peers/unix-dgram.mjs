// @ts-check
/** npm `unix-dgram`: Buffers over a path. It does not accept an inherited descriptor. */

import { createRequire } from 'node:module'
import {
  buffers,
  onGo,
  options,
  RoundTrips,
  report,
  sendBatch,
  startReceiver,
  Tally,
} from './common.mjs'

const require = createRequire(new URL('../npm/package.json', import.meta.url))
const { createSocket } = require('unix-dgram')

/** Its error code for EAGAIN: the message was not sent, and the event `writable` follows. */
const CONGESTION = 1

if (options.receives) receive()
else await send()

function receive() {
  const tally = new Tally()
  const socket = createSocket(
    'unix_dgram',
    (/** @type {Buffer} */ message, /** @type {any} */ from) => {
      tally.takeBuffer(message)
      if (options.trips) socket.send(message, 0, message.length, from.path)
    },
  )
  socket.bind(options.path)
  report({ event: 'ready' })
}

async function send() {
  const receiver = startReceiver()
  const tally = new Tally()
  const trips = new RoundTrips(index => socket.send(buffers[index]), tally)
  const socket = createSocket('unix_dgram', (/** @type {Buffer} */ message) => {
    tally.takeBuffer(message)
    trips.end()
  })
  // It does not autobind, so replies need this address.
  socket.bind(`${options.path}.back`)

  /** @param {number} index @param {() => void} resume */
  const next = (index, resume) => {
    let sent = true
    socket.send(buffers[index], (/** @type {any} */ error) => {
      if (!error) return
      if (error.code !== CONGESTION) throw error
      sent = false
      socket.once('writable', () => {
        if (next(index, resume)) resume()
      })
    })
    return sent
  }
  let connected = false
  await onGo(receiver, async () => {
    if (!connected) socket.connect(options.path)
    connected = true
    await (options.trips ? trips.run() : sendBatch(next))
  })
}
