// @ts-check
/**
 * The batches of connections. `fdwire-connections.mjs` and `net-connections.mjs` each pass a
 * `System` to `runSystem`, which runs it as client, as server, or as both in one process.
 */

import { readdirSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { onGo, options, RoundTrips, report, startReceiver, Tally, texts } from './common.mjs'

/**
 * @typedef {{ destroy(): unknown, once(event: 'close', listener: () => void): unknown }} Connection
 * @typedef {object} System
 * @property {(echoed: () => void, closed: () => void) => Promise<unknown>} serve listens at
 *   `options.path` and echoes the messages of each connection
 * @property {(text: string, replied: (reply: string) => void) => Connection | Promise<Connection>} ask
 *   connects and sends a message; calls `replied` with its reply
 * @property {() => Promise<Connection>} connect resolves when the connection is established
 * @property {(connection: any) => void} close closes the connection once everything is sent
 * @property {(accepted: (connection: Connection) => void) => Promise<unknown>} listen listens at
 *   `options.path`
 * @property {() => Connection[]} [pair]
 */

/** @param {System} system */
export async function runSystem(system) {
  if (options.work === 'pairs') await pairs(system)
  else if (options.receives) await serve(system)
  else await onGo(startReceiver(), client(system))
}

/** @param {System} system */
async function serve({ serve }) {
  let echoed = 0
  let closed = 0
  // If the connections stay open, the last echo ends the batch; otherwise the last close does.
  const countEcho = () => {
    if (options.work === 'idle' && ++echoed % options.count === 0) reportMemory('done')
  }
  const countClose = () => {
    if (options.work !== 'idle' && ++closed % options.count === 0) reportDone()
  }
  await serve(countEcho, countClose)
  report({ event: 'ready' })
}

/** @param {System} system @returns {() => Promise<void>} */
function client(system) {
  if (options.work === 'connect') return connectBatch(system)
  return options.work === 'close' ? closeBatch(system) : idleBatch(system)
}

/** @param {System} system */
function connectBatch({ ask }) {
  const tally = new Tally()
  const trips = new RoundTrips(async index => {
    /** @type {(reply: string) => void} */
    let replied = () => {}
    const reply = new Promise(resolve => {
      replied = resolve
    })
    const connection = await ask(texts[index], replied)
    tally.takeText(await reply)
    connection.destroy()
    trips.end()
  }, tally)
  return () => trips.run()
}

/** @param {System} system */
function closeBatch({ connect, close }) {
  return async () => {
    const start = String(process.hrtime.bigint())
    for (let i = 0; i < options.count; i++) {
      const connection = await connect()
      const closed = closing(connection)
      if (options.how === 'close') close(connection)
      else connection.destroy()
      await closed
    }
    report({ event: 'sent', start })
  }
}

/** @param {System} system */
function idleBatch({ ask }) {
  /** @type {Connection[]} */
  const kept = []
  /** @type {(reply: string) => void} */
  let replied = () => {}
  // All connections share this listener, so only the memory of the system itself is measured.
  const listener = (/** @type {string} */ reply) => replied(reply)
  return async () => {
    const start = String(process.hrtime.bigint())
    let wrong = 0
    for (let i = 0; i < options.count; i++) {
      const text = /** @type {string} */ (texts[i % texts.length])
      const reply = new Promise(resolve => {
        replied = resolve
      })
      kept.push(await ask(text, listener))
      if ((await reply) !== text) wrong++
    }
    await reportMemory('sent', { start, wrong })
  }
}

/** @param {System} system */
async function pairs({ listen, connect, pair }) {
  /** @type {(connection: Connection) => void} */
  let accepted = () => {}
  if (options.how === 'server') await listen(connection => accepted(connection))
  const viaServer = () => {
    const other = new Promise(resolve => {
      accepted = resolve
    })
    return Promise.all([connect(), other])
  }
  const create = options.how === 'server' ? viaServer : /** @type {() => Connection[]} */ (pair)
  report({ event: 'ready' })
  await onGo(undefined, async () => {
    const start = String(process.hrtime.bigint())
    for (let i = 0; i < options.count; i++) {
      const both = await create()
      const closed = both.map(closing)
      for (const connection of both) connection.destroy()
      await Promise.all(closed)
    }
    report({ event: 'sent', start })
    // The line above contains the CPU time of this process.
    reportDone({ cpu: 0 })
  })
}

/** @param {Connection} connection @returns {Promise<void>} */
function closing(connection) {
  return new Promise(resolve => connection.once('close', resolve))
}

function reportDone(more = {}) {
  const open = readdirSync('/proc/self/fd').length
  report({ event: 'done', end: String(process.hrtime.bigint()), wrong: 0, open, ...more })
}

/**
 * Reports the end of a batch with the memory of this process.
 * @param {'sent' | 'done'} event
 */
async function reportMemory(event, more = {}) {
  const end = String(process.hrtime.bigint())
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  // Finalizers and weak references need several collections, with turns of the loop between them.
  for (let i = 0; i < 4; i++) {
    collect()
    await nextTurn()
  }
  const { rss, heapUsed } = process.memoryUsage()
  // The connections stay open, so their descriptors are not leaked.
  report({ event, end, wrong: 0, open: 0, resident: rss, heap: heapUsed, ...more })
}
