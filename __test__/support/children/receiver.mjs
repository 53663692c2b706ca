// Receives numbered messages with one file each, checks them, and says when the last has come.

import { readSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { bind, connect } from 'fdwire'

const { path, server, total } = JSON.parse(process.argv[2])
const options = { protocol: 'jsoncomm' }
// A receiver with a name of its own, or one that is connected to the sender.
const channel = await (path ? bind(path, options) : connect(server, options))

const say = line => process.stdout.write(`${JSON.stringify(line)}\n`)
const bytes = Buffer.alloc(64)
let next = 0
let wrong

channel.on('message', ({ n }, fds) => {
  const size = readSync(fds.get(0), bytes, 0, bytes.length, 0)
  const contents = bytes.toString('latin1', 0, size)
  if (n !== next || fds.length !== 1 || contents !== `file ${n}`) {
    wrong ??= `message ${n} with ${fds.length} files, '${contents}', where ${next} was expected`
  }
  next++
  fds.close()
  if (next === total) say({ received: next, wrong: wrong ?? null })
})
channel.on('malformed', error => say({ error: error.message }))
if (server) channel.send('hello')
say({ ready: true })
// Asked at the end, it says whether anything came twice.
for await (const _ of createInterface({ input: process.stdin })) say({ received: next })
