// @ts-check
/**
 * npm `usocket`: JSON with descriptors over a stream.
 *
 * It loses the descriptors of a write that fails with EAGAIN, because its index.js repeats `_write`
 * without them. Therefore a window limits the messages in flight: the receiver acknowledges each
 * half window with a byte.
 */

import { closeSync } from 'node:fs'
import { createRequire } from 'node:module'
import {
  onGo,
  openFds,
  options,
  report,
  sendBatch,
  startReceiver,
  Tally,
  values,
} from './common.mjs'

const require = createRequire(new URL('../npm/package.json', import.meta.url))
const { USocket, UServer } = require('usocket')

/** Messages that fit into the send buffer of 212,992 bytes, with the kernel's overhead. */
const WINDOW = 128

if (options.receives) receive()
else await send()

function receive() {
  const tally = new Tally()
  const server = new UServer()
  server.on('connection', (/** @type {any} */ socket) => {
    let taken = 0
    // With the events 'data' and 'fds' it collects descriptors in an array that it copies per
    // message.
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
  server.on('listening', () => report({ event: 'ready' }))
  server.listen(options.path)
}

async function send() {
  const receiver = startReceiver()
  const fds = openFds()
  const socket = new USocket()
  let inFlight = 0
  /** @type {(() => void) | undefined} */
  let waiting
  /** @param {Buffer} acknowledgements */
  const acknowledge = acknowledgements => {
    inFlight -= (acknowledgements.length * WINDOW) / 2
    const resume = waiting
    waiting = undefined
    resume?.()
  }
  let connected = false
  await onGo(receiver, async () => {
    if (!connected) {
      await new Promise(resolve => socket.connect(options.path, () => resolve(null)))
      // A socket that has this listener before it is connected never reads.
      socket.on('data', acknowledge)
      connected = true
    }
    await sendBatch((index, resume) => {
      socket.write({ data: Buffer.from(JSON.stringify(values[index])), fds })
      if (++inFlight < WINDOW) return true
      waiting = resume
      return false
    })
  })
}
