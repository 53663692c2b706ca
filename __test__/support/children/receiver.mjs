// Receives numbered messages with one file each, checks them and prints a line after the last one.
import { readSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { bind, connect } from 'fdwire'

const { path, server, total } = JSON.parse(process.argv[2])
const options = { protocol: 'jsoncomm' }
// Either bound to its own path or connected to the sender.
const channel = await (path ? bind(path, options) : connect(server, options))

const print = line => process.stdout.write(`${JSON.stringify(line)}\n`)
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
  if (next === total) print({ received: next, wrong: wrong ?? null })
})
channel.on('malformed', error => print({ error: error.message }))
if (server) channel.send('hello')
print({ ready: true })
// A request at the end returns the count again, which reveals duplicates.
for await (const _ of createInterface({ input: process.stdin })) print({ received: next })
