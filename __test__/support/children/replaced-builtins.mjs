// A program that replaces built-ins and handles uncaught exceptions. Runs the case named by its
// argument and prints the result as one line of JSON.
import { AsyncResource } from 'node:async_hooks'
import { writeSync } from 'node:fs'
import { bind, connect, pair } from 'fdwire'

let uncaught = 0
process.on('uncaughtException', () => {
  // Ends the process if a turn repeats forever, because that never returns to the event loop.
  if (++uncaught > 1_000) process.exit(9)
})

/** Prints a result without the built-ins that a case replaces. */
const print = result => writeSync(1, `${JSON.stringify(result)}\n`)

function fail() {
  throw new Error('This method is replaced')
}

/** Resolves to the first `count` values that a channel receives. */
const receiveValues = (channel, count) =>
  new Promise(resolve => {
    const values = []
    channel.on('message', value => {
      values.push(value)
      if (values.length === count) resolve(values)
    })
  })

const cases = {
  /** Methods of Buffer and JSON throw while messages of every kind arrive. */
  async methods() {
    const { parse } = JSON
    const [a, b] = pair({ protocol: 'lines', encoding: 'json' })
    const [c, d] = pair({ protocol: 'length_prefixed', encoding: 'buffer' })
    const server = await bind(null, { protocol: 'jsoncomm' })
    const client = await connect(server.localAddress, { protocol: 'jsoncomm' })
    const bytes = [Buffer.from('one'), Buffer.from('two'), Buffer.alloc(300_000, 'x')]
    for (const name of ['copy', 'latin1Slice', 'subarray', 'toString', 'utf8Slice']) {
      Buffer.prototype[name] = fail
    }
    Buffer.from = fail
    JSON.parse = fail
    const received = [receiveValues(b, 5), receiveValues(d, 3), receiveValues(server, 1)]
    a.sendAll(['a', 'b', 'ü'])
    a.send('alone')
    a.send('x'.repeat(300_000))
    for (const one of bytes) c.send(one)
    client.send(1)
    const [texts, buffers, numbers] = await Promise.all(received)
    Object.assign(JSON, { parse })
    print({
      texts: texts.map(text => text.slice(0, 5)),
      buffers: buffers.map((one, at) => one.equals(bytes[at])),
      numbers,
      uncaught,
    })
    process.exit()
  },

  /** Every object has properties that look like elements. */
  async elements() {
    const pairs = Array.from({ length: 4 }, () => pair({ protocol: 'jsoncomm' }))
    for (let index = 0; index < 10; index++) Object.prototype[index] = { onTurn: fail }
    const values = Promise.all(pairs.map(([, b]) => receiveValues(b, 3)))
    for (const [a] of pairs) a.sendAll([1, 2, 3])
    print({ values: await values, uncaught })
    process.exit()
  },

  /** A listener detaches the memory of each message, if this version of Node can. */
  async detached() {
    const [a, b] = pair({ protocol: 'length_prefixed', encoding: 'buffer' })
    const texts = []
    b.on('message', value => {
      texts.push(value.toString())
      try {
        value.buffer.transfer?.()
      } catch {
        // From Node 24 on, memory that is marked as untransferable refuses.
      }
      if (texts.length < 10) return
      print({ texts, uncaught })
      process.exit()
    })
    for (let i = 0; i < 10; i++) a.send(`message ${i}`)
  },

  /** Every turn of the channel throws, and so does its closing. */
  async stuck() {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    b.on('message', () => {})
    b.on('error', () => {})
    a.sendAll([1, 2, 3])
    AsyncResource.prototype.runInAsyncScope = fail
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
    print({ closed: b.closed, few: uncaught > 0 && uncaught < 10 })
    process.exit()
  },
}

cases[process.argv[2]]()
