// @ts-check
/** A server on `node:net` that echoes what each connection says first. */

import { createServer } from 'node:net'
import { options, say } from './common.mjs'
import { countClose, countEcho } from './connections.mjs'

/** Bytes of the length in front of each message. */
const HEAD = 4

const server = createServer({ noDelay: false }, socket => {
  /** What has come of a message that is cut, which is rare. @type {Buffer | undefined} */
  let cut
  socket.on('data', chunk => {
    const bytes = cut ? Buffer.concat([cut, chunk]) : chunk
    const end = bytes.length < HEAD ? Number.POSITIVE_INFINITY : HEAD + bytes.readUInt32BE(0)
    cut = bytes.length < end ? bytes : undefined
    if (cut) return
    const text = bytes.toString('utf8', HEAD, end)
    const frame = Buffer.allocUnsafe(HEAD + Buffer.byteLength(text))
    frame.writeUInt32BE(frame.length - HEAD)
    frame.write(text, HEAD)
    socket.write(frame)
    countEcho()
  })
  socket.on('close', countClose)
})
server.listen({ path: options.path, backlog: 4096 }, () => say({ event: 'ready' }))
