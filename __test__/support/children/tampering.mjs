/** Cases of tampering.test.ts: a program that changes what fdwire uses, and survives its exceptions. */
import { AsyncResource } from 'node:async_hooks'
import { writeSync } from 'node:fs'
import { bind, connect, pair } from 'fdwire'

let uncaught = 0
process.on('uncaughtException', () => {
  // A turn that repeats for ever would never return to the loop.
  if (++uncaught > 1_000) process.exit(9)
})

/** Reports a result. It uses nothing that a case changes. */
const print = result => writeSync(1, `${JSON.stringify(result)}\n`)

function fail() {
  throw new Error('This method was replaced')
}

/** Returns the values that a channel gets until `count` of them have come. */
const take = (channel, count) =>
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
    const server = await bind('', { protocol: 'jsoncomm' })
    const client = await connect(server.localAddress, { protocol: 'jsoncomm' })
    const bytes = [Buffer.from('one'), Buffer.from('two'), Buffer.alloc(300_000, 'x')]
    for (const name of ['copy', 'latin1Slice', 'subarray', 'toString', 'utf8Slice']) {
      Buffer.prototype[name] = fail
    }
    Buffer.from = fail
    JSON.parse = fail
    const taken = [take(b, 5), take(d, 3), take(server, 1)]
    a.sendAll(['a', 'b', 'ü'])
    a.send('alone')
    a.send('x'.repeat(300_000))
    for (const one of bytes) c.send(one)
    client.send(1)
    const [texts, buffers, numbers] = await Promise.all(taken)
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
    const values = Promise.all(pairs.map(([, b]) => take(b, 3)))
    for (const [a] of pairs) a.sendAll([1, 2, 3])
    print({ values: await values, uncaught })
    process.exit()
  },

  /** A listener detaches the memory of each message, where Node lets it. */
  async detached() {
    const [a, b] = pair({ protocol: 'length_prefixed', encoding: 'buffer' })
    const texts = []
    b.on('message', value => {
      texts.push(value.toString())
      value.buffer.transfer?.()
      if (texts.length < 10) return
      print({ texts, uncaught })
      process.exit()
    })
    for (let i = 0; i < 10; i++) a.send(`message ${i}`)
  },

  /** Every turn of the channel throws, and closing it does too. */
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
