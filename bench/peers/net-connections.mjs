// @ts-check
/** Connections with `node:net`. The length of a message precedes it in four bytes. */

import { connect, createServer } from 'node:net'
import { options } from './common.mjs'
import { runSystem } from './connections.mjs'

/** @typedef {import('node:net').Socket} Socket */

/** Size of the length before each message (bytes). */
const HEAD = 4

/** @param {(socket: Socket) => void} accepted @returns {Promise<void>} */
function listenWith(accepted) {
  const server = createServer(accepted)
  return new Promise(resolve => server.listen({ path: options.path, backlog: 4096 }, resolve))
}

/** @param {Socket} socket @param {string} text */
function send(socket, text) {
  const frame = Buffer.allocUnsafe(HEAD + Buffer.byteLength(text))
  frame.writeUInt32BE(frame.length - HEAD)
  frame.write(text, HEAD)
  socket.write(frame)
}

/** @param {Socket} socket @param {(text: string) => void} take */
function onMessage(socket, take) {
  /** The start of an incomplete message, which is rare. @type {Buffer | undefined} */
  let rest
  socket.on('data', chunk => {
    const bytes = rest ? Buffer.concat([rest, chunk]) : chunk
    const end = bytes.length < HEAD ? Number.POSITIVE_INFINITY : HEAD + bytes.readUInt32BE(0)
    rest = bytes.length < end ? bytes : undefined
    if (!rest) take(bytes.toString('utf8', HEAD, end))
  })
}

await runSystem({
  listen: listenWith,
  connect: () =>
    new Promise(resolve => {
      const socket = connect(options.path, () => resolve(socket))
    }),
  close: socket => socket.destroySoon(),
  serve: (echoed, closed) =>
    listenWith(socket => {
      onMessage(socket, text => {
        send(socket, text)
        echoed()
      })
      socket.on('close', closed)
    }),
  ask: (text, replied) => {
    const socket = connect(options.path)
    onMessage(socket, replied)
    send(socket, text)
    return socket
  },
})
