// @ts-check
/**
 * Node's IPC, `process.send`. A message carries at most one handle, so four descriptors are four
 * messages. A handle must be an object of Node: here a listening TCP server, the fastest of the
 * classes that we tried. `how`: `text`, `buffer`, otherwise values. Buffers need the advanced
 * serialization; for everything else JSON is faster.
 */

import { fstatSync } from 'node:fs'
import { createServer } from 'node:net'
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

/** The most messages in flight. Without a limit the channel would queue the whole batch. */
const WINDOW = 256

const serialization = options.how === 'buffer' ? 'advanced' : 'json'

/** Returns the server's descriptor, which Node's types do not declare. @param {any} server */
const fdOf = server => server._handle.fd

if (options.receives) receive()
else await send()

function receive() {
  const inode = process.argv.find(a => a.startsWith('inode='))?.slice('inode='.length)
  const tally = new Tally(Number(inode))
  take(process, tally, (value, handles) => {
    if (options.trips) reply(value, handles)
  })
  report({ event: 'ready' })
}

/** @param {any} value @param {any[]} handles */
function reply(value, handles) {
  if (handles.length === 0) process.send?.(value)
  for (const handle of handles) process.send?.(value, handle, {}, () => handle.close())
}

async function send() {
  const server = options.fds > 0 ? await listening() : undefined
  const inode = server ? [`inode=${fstatSync(fdOf(server)).ino}`] : []
  const receiver = /** @type {import('node:child_process').ChildProcess} */ (
    startReceiver(['ipc'], inode, serialization)
  )
  const ring = messages()
  if (options.trips) {
    const tally = new Tally(server ? fstatSync(fdOf(server)).ino : 0)
    const trips = new RoundTrips(index => void receiver.send(ring[index], server), tally)
    take(receiver, tally, (_, handles) => {
      for (const handle of handles) handle.close()
      trips.end()
    })
    await onGo(receiver, () => trips.run())
    return
  }

  let inFlight = 0
  /** @type {(() => void) | undefined} */
  let waiting
  const sent = () => {
    if (--inFlight > WINDOW / 2 || !waiting) return
    const resume = waiting
    waiting = undefined
    resume()
  }
  const times = Math.max(1, options.fds)
  await onGo(receiver, () =>
    sendBatch((index, resume) => {
      for (let i = 0; i < times; i++) receiver.send(ring[index], server, {}, sent)
      inFlight += times
      if (inFlight < WINDOW) return true
      waiting = resume
      return false
    }),
  )
}

/**
 * Collects the handles of a message, which arrive one by one.
 * @param {any} from
 * @param {Tally} tally
 * @param {(value: any, handles: any[]) => void} then
 */
function take(from, tally, then) {
  /** @type {any[]} */
  let handles = []
  const takeValue = tally.taker()
  from.on('message', (/** @type {any} */ value, /** @type {any} */ handle) => {
    if (handle) handles.push(handle)
    if (handles.length < options.fds) return
    const all = handles
    if (handle) handles = []
    tally.takeFds(all.length, i => fdOf(all[i]))
    takeValue(value)
    then(value, all)
    if (!options.trips) for (const one of all) one.close()
  })
}

/** A server whose descriptor is passed. */
function listening() {
  const server = createServer()
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)))
}
