/**
 * Loads fdwire and a copy of it. Each must refuse the descriptors that the other owns. Prints the
 * errors, by what was tried.
 *
 * `two-copies.mjs INDEX [taken|broken]`: INDEX is the `index.js` of the copy. Before the first one is
 * loaded, `taken` puts something else where the copies find each other, and `broken` something that throws.
 */
import { openSync } from 'node:fs'

const KEY = Symbol.for('fdwire.copies.1')
const [, , copy, hostile] = process.argv
if (hostile === 'taken') process[KEY] = { join: 1 }
if (hostile === 'broken') {
  process[KEY] = {
    join() {},
    ownerOf: () => ({}),
  }
}

const one = await import('fdwire')
const two = await import(copy)
if (one.FdSet === two.FdSet) throw new Error('They are the same copy')

const results = {}
function attempt(name, call) {
  try {
    call()
    results[name] = 'accepted'
  } catch (error) {
    results[name] = error.code ?? error.name
    results[`${name}, message`] = error.message.replace(/descriptor \d+/, 'descriptor N')
  }
}

const fd = openSync('/dev/null', 'r')
const set = one.FdSet.from([fd])
attempt('FdSet.from of a set', () => two.FdSet.from([fd]).take(0))
attempt('FdSet.from twice', () => one.FdSet.from([fd]))
const [a, b] = two.pair({ protocol: 'jsoncomm' })
attempt('FdSet.from of a channel', () => one.FdSet.from([a.fd]).take(0))
if (!hostile) attempt('adopt of a channel', () => one.adopt(a.fd, { protocol: 'jsoncomm' }))

// What is given away is free for the other copy.
const [c, d] = one.pair({ protocol: 'jsoncomm' })
const adopted = two.adopt(c.detach(), { protocol: 'jsoncomm' })
const received = d.receive()
adopted.send('from the other copy', { fds: set })
results.received = (await received).value
for (const channel of [a, b, adopted, d]) channel.destroy()
attempt('FdSet.from after take', () => two.FdSet.from([set.take(0)]).close())
results.property = Object.getOwnPropertyDescriptor(process, KEY)?.writable
console.log(JSON.stringify(results))
