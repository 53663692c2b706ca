// @ts-check
/** A peer for the tests of `busyPoll`: `node busy-poll.mjs <case> <descriptor> <options>`. */
import { writeSync } from 'node:fs'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { adopt } from 'fdwire'

const [name, number, json] = isMainThread ? process.argv.slice(2) : workerData
const options = isMainThread ? JSON.parse(json) : json
const channel = adopt(Number(number), options)

/** @type {Record<string, (value: any) => void>} */
const cases = {
  /** Returns each message. */
  echo: value => channel.send(value),
  /** Reports the first message to the parent thread and goes on. */
  hot: value => {
    if (value === 100) parentPort?.postMessage('hot')
    channel.send(value)
  },
  /** Ends the thread in a listener. */
  exits: value => {
    if (value === 100) process.exit(0)
    channel.send(value)
  },
  /** Throws for each third message, after it has returned it. */
  throws: value => {
    channel.send(value)
    if (value % 3 === 0) throw new Error(`message ${value}`)
  },
}
let thrown = 0
process.on('uncaughtException', error => {
  if (name !== 'throws') throw error
  thrown++
})
channel.on('message', /** @type {(value: any) => void} */ (cases[name]))
channel.on('close', () => {
  if (isMainThread) writeSync(1, JSON.stringify({ thrown, ...channel.stats }))
})
