// @ts-check
/**
 * The usual code over `node:net`: one Buffer and one write per message, and a receiver that appends
 * each chunk to a Buffer. `how`: `text`, `json`, `buffer`.
 */

import { connect, createServer } from 'node:net'
import { messages, onGo, options, report, sendBatch, startReceiver, Tally } from './common.mjs'

/** Size of the length before each message (bytes). */
const HEAD = 4

if (options.receives) receive()
else await send()

function receive() {
  const take = new Tally().taker()
  const server = createServer(socket => {
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
  })
  server.listen(options.path, () => report({ event: 'ready' }))
}

async function send() {
  const receiver = startReceiver()
  const ring = messages()
  /** @type {import('node:net').Socket | undefined} */
  let socket
  await onGo(receiver, async () => {
    socket ??= await connected()
    const to = socket
    await sendBatch((index, resume) => {
      const body = encode(ring[index])
      const head = Buffer.alloc(HEAD)
      head.writeUInt32BE(body.length)
      const room = to.write(Buffer.concat([head, body]))
      if (!room) to.once('drain', resume)
      return room
    })
  })
}

/** @returns {Promise<import('node:net').Socket>} */
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
