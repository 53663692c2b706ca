// A program that tampers with built-ins before or after it loads fdwire, and then exchanges messages of every
// kind. The arguments are how it tampers, and when. Prints what has arrived as one line of JSON.
import { closeSync, openSync, writeSync } from 'node:fs'

const [how, when] = process.argv.slice(2)
const { freeze, defineProperty, getOwnPropertyNames } = Object
const { stringify } = JSON

/** Names that options, messages, errors and promises have. */
const NAMES = [
  'fds',
  'to',
  'timeout',
  'signal',
  'match',
  'memfd',
  'maxFds',
  'maxMessage',
  'maxQueued',
  'encoding',
  'head',
  'localAddress',
  'reconnect',
  'allowPeer',
  'concurrency',
  'onError',
  'credentials',
  'from',
  'code',
  'cause',
]

/** Names that Node itself reads when it loads a module. */
const READ_BY_NODE = ['timeout', 'signal', 'encoding', 'code']

const names = NAMES.filter(name => when === 'after' || !READ_BY_NODE.includes(name))

function fail() {
  throw new Error('This is tampered with')
}

/** Ways to tamper. What a program breaks for itself, such as `then`, is not among them. */
const ways = {
  nothing() {},
  frozen() {
    const all = [Object, Array, Function, Error, Promise, Map, Set, Buffer, Uint8Array, ArrayBuffer]
    for (const one of [...all, String, Number, Symbol, RegExp]) {
      freeze(one)
      freeze(one.prototype)
    }
  },
  'values in Object.prototype'() {
    for (const name of [...names, 'then']) Object.prototype[name] = 'polluted'
  },
  'getters in Object.prototype'() {
    for (const name of names) {
      const accessor = { __proto__: null, get: fail, set: fail, configurable: true }
      defineProperty(Object.prototype, name, accessor)
    }
  },
  'elements in Object.prototype'() {
    // Node itself reads the first ones when it loads a module.
    for (let i = when === 'before' ? 4 : 0; i < 20; i++) Object.prototype[i] = { polluted: true }
  },
  'methods of Buffer.prototype'() {
    for (const name of getOwnPropertyNames(Buffer.prototype)) {
      if (typeof Buffer.prototype[name] === 'function' && name !== 'constructor') {
        Buffer.prototype[name] = fail
      }
    }
  },
  'methods of Array.prototype'() {
    // Node itself calls the others and keeps no copies of them.
    for (const name of ['concat', 'fill', 'find', 'flatMap', 'includes', 'some', 'toSorted']) {
      Array.prototype[name] = fail
    }
  },
}

if (when === 'before') ways[how]()
const { bind, connect, listen, pair, Reply } = await import('fdwire')
if (when === 'after') ways[how]()

const results = {}
const collect = (channel, name, count) =>
  new Promise((resolve, reject) => {
    results[name] = []
    channel.on('malformed', error => results[name].push(error.code))
    channel.on('error', reject)
    channel.on('message', (value, fds) => {
      results[name].push(typeof value === 'string' ? value.length : value)
      if (fds.length > 0) results[name].push(`${fds.length} descriptors`)
      fds.close()
      if (results[name].length >= count) resolve()
    })
  })

/** Options without a prototype: a program that is tampered with can pass no others. */
const plain = (...entries) => {
  const object = Object.create(null)
  for (const [name, value] of entries) {
    defineProperty(object, name, { __proto__: null, value, enumerable: true })
  }
  return object
}

const fd = openSync('/dev/null', 'r')

async function exchange() {
  const [a, b] = pair(plain(['protocol', 'length_prefixed'], ['encoding', 'json'], ['maxFds', 4]))
  const first = collect(b, 'json', 5)
  a.send(1)
  a.sendAll([2, 'three'])
  a.send(4, plain(['fds', [fd, fd]]))
  await first

  const [c, d] = pair(plain(['protocol', 'lines'], ['encoding', 'text']))
  const texts = collect(d, 'texts', 3)
  c.send('short')
  c.send('x'.repeat(300_000))
  c.send('')
  await texts

  const server = await bind(null, plain(['protocol', 'jsoncomm']))
  const client = await connect(server.localAddress, plain(['protocol', 'jsoncomm']))
  const datagrams = collect(server, 'datagrams', 2)
  client.send(1)
  client.send(2)
  await datagrams

  const listener = await listen(null, plain(['protocol', 'lines']))
  listener.serve(line => line)
  const caller = await connect(listener.address, plain(['protocol', 'lines']))
  const answered = collect(caller, 'answered', 1)
  caller.send('hello')
  await answered
  const answerer = await bind(null, plain(['protocol', 'jsoncomm']))
  answerer.serve(
    (value, fds) => new Reply(value, plain(['fds', fds.length > 0 ? [fds.take(0)] : []])),
  )
  const asker = await connect(answerer.localAddress, plain(['protocol', 'jsoncomm']))
  const replies = collect(asker, 'replies', 3)
  asker.send('question')
  asker.send('with a file', plain(['fds', [fd]]))
  await replies
  results.refused = refusalOf(() => a.send(undefined))
  results.option = refusalOf(() => pair(plain(['protocol', 'lines'], ['nonsense', 1])))
  for (const one of [a, b, c, d, server, client, caller, answerer, asker]) one.destroy()
  await listener.close()
}

function refusalOf(call) {
  try {
    call()
    return 'accepted'
  } catch (error) {
    return error.constructor.name
  }
}

process.on('uncaughtException', error => {
  writeSync(2, `uncaught: ${error.stack}\n`)
  process.exit(9)
})
await exchange()
closeSync(fd)
writeSync(1, stringify(results))
process.exit()
