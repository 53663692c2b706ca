// Sends and receives messages with descriptors that are generated from a seed. The test imports
// this module and also runs it as a child, which sends or receives on descriptor 3 and prints its
// result as one line of JSON.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

/** A pseudorandom generator of integers below `limit`, determined by the seed. */
export function numbers(seed) {
  let state = seed >>> 0
  return limit => {
    // xorshift32
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}

/** Generates messages: a length (bytes) and the indices of the files to send with it. */
export function generateMessages(seed, count, files) {
  const next = numbers(seed)
  const lengthOf = [
    () => 1,
    () => next(64),
    () => 1_000 + next(200),
    () => 16_000 + next(1_000),
    () => 65_530 + next(12),
    () => next(200 * 1024),
  ]
  return Array.from({ length: count }, () => {
    const length = Math.max(1, lengthOf[next(lengthOf.length)]())
    // Two thirds of the messages carry up to four descriptors.
    const fds = next(3) === 0 ? [] : Array.from({ length: next(5) }, () => next(files))
    return { length, fds }
  })
}

/** The payload of a message. It contains no line feed. */
export function payload(length, index) {
  const bytes = Buffer.alloc(length, 32 + (index % 90))
  for (let at = index % 97; at < length; at += 97) bytes[at] = 32 + ((at + index) % 90)
  return bytes
}

/** Sends all messages as fast as the channel accepts them. `files` are open descriptors. */
export async function sendMessages(channel, messages, files, onFull = () => {}) {
  for (const [index, { length, fds }] of messages.entries()) {
    const bytes = payload(length, index)
    const accepted = channel.send(bytes, { fds: fds.map(file => files[file]) })
    // send() has copied what it queues, so the buffer may be reused at once.
    bytes.fill(0)
    if (!accepted) {
      onFull()
      await once(channel, 'drain')
    }
  }
  await channel.flush()
  channel.end()
}

/** Receives messages until the end with pauses from the seed: [length, hash, inodes] of each. */
export async function receiveMessages(channel, seed) {
  const next = numbers(seed)
  const received = []
  for await (const { value, fds } of channel) {
    const inodes = [...fds].map(fd => fstatSync(fd).ino)
    fds.close()
    received.push([value.length, createHash('md5').update(value).digest('hex'), inodes])
    for (let turns = next(40) - 30; turns > 0; turns--) await setImmediate()
  }
  return received
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { adopt } = await import('fdwire')
  const [role, json] = process.argv.slice(2)
  const { options, seed, count, paths } = JSON.parse(json)
  const channel = adopt(3, options)
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  if (role === 'receive') {
    const received = await receiveMessages(channel, seed)
    // The channel closes itself after the end.
    await new Promise(done => (channel.closed ? done() : channel.once('close', done)))
    console.log(JSON.stringify({ received, leaked: open() - before + 1, stats: channel.stats }))
  } else {
    const files = paths.map(path => openSync(path, 'r'))
    await sendMessages(channel, generateMessages(seed, count, paths.length), files)
    for (const fd of files) closeSync(fd)
    console.log(JSON.stringify({ leaked: open() - before, stats: channel.stats }))
    channel.destroy()
  }
}
