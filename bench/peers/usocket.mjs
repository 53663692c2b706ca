// @ts-check
/**
 * npm `usocket`: JSON with descriptors over a stream.
 *
 * It loses the descriptors of a write that the kernel refuses with EAGAIN (index.js calls `_write`
 * again without them), so no more than a window of messages is under way: the receiver answers
 * every half window with a byte.
 */

import { closeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { onGo, openFds, options, say, sendBatch, startReceiver, Tally, values } from './common.mjs'

const require = createRequire(new URL('../npm/package.json', import.meta.url))
const { USocket, UServer } = require('usocket')

/** Messages: what fits into the send buffer of 212,992 bytes with the kernel's own share. */
const WINDOW = 128

if (options.receives) receive()
else await send()

function receive() {
  const tally = new Tally()
  const server = new UServer()
  server.on('connection', (/** @type {any} */ socket) => {
    let taken = 0
    // Not 'data' and 'fds': descriptors that nobody reads this way gather in an array which is
    // copied for each message.
    socket.on('readable', () => {
      for (;;) {
        const message = socket.read(options.size, options.fds)
        if (!message) return
        tally.takeFds(message.fds.length, i => message.fds[i])
        tally.takeValue(JSON.parse(message.data.toString()))
        for (const fd of message.fds) closeSync(fd)
        if (++taken % (WINDOW / 2) === 0) socket.write(Buffer.from('.'))
      }
    })
  })
  server.on('listening', () => say({ event: 'ready' }))
  server.listen(options.path)
}

async function send() {
  const receiver = startReceiver()
  const fds = openFds()
  const socket = new USocket()
  let underWay = 0
  /** @type {(() => void) | undefined} */
  let waiting
  /** @param {Buffer} answers */
  const answered = answers => {
    underWay -= (answers.length * WINDOW) / 2
    const resume = waiting
    waiting = undefined
    resume?.()
  }
  let connected = false
  await onGo(receiver, async () => {
    if (!connected) {
      await new Promise(resolve => socket.connect(options.path, () => resolve(null)))
      // Not before: a socket that is asked for data while it isn't connected never reads any.
      socket.on('data', answered)
      connected = true
    }
    await sendBatch((index, resume) => {
      socket.write({ data: Buffer.from(JSON.stringify(values[index])), fds })
      if (++underWay < WINDOW) return true
      waiting = resume
      return false
    })
  })
}
