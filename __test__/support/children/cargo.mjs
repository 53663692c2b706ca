// Messages with descriptors that a seed decides, sent and received: both processes of a test use it.
// Run by itself it does one of both with its descriptor 3, and prints what it got as a line of JSON.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

/** Numbers below `limit`, the same ones for the same seed. */
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

/** What is sent: a length (bytes) and which of so many files go with it. */
export function plan(seed, count, files) {
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
    // Many in a row with some, many without.
    const fds = next(3) === 0 ? [] : Array.from({ length: next(5) }, () => next(files))
    return { length, fds }
  })
}

/** The bytes of a message, without a line feed. */
export function payload(length, index) {
  const bytes = Buffer.alloc(length, 32 + (index % 90))
  for (let at = index % 97; at < length; at += 97) bytes[at] = 32 + ((at + index) % 90)
  return bytes
}

/** Sends all of it as fast as it goes; `files` are open. */
export async function sendCargo(channel, cargo, files, onFull = () => {}) {
  for (const [index, { length, fds }] of cargo.entries()) {
    const bytes = payload(length, index)
    const taken = channel.send(bytes, { fds: fds.map(file => files[file]) })
    // They are ours again, whatever waits.
    bytes.fill(0)
    if (!taken) {
      onFull()
      await once(channel, 'drain')
    }
  }
  await channel.flush()
  channel.end()
}

/** Takes messages until the end, now and then slowly: lengths, hashes, and inodes of what came. */
export async function receiveCargo(channel, seed) {
  const next = numbers(seed)
  const got = []
  for await (const { value, fds } of channel) {
    const inodes = [...fds].map(fd => fstatSync(fd).ino)
    fds.close()
    got.push([value.length, createHash('md5').update(value).digest('hex'), inodes])
    for (let turns = next(40) - 30; turns > 0; turns--) await setImmediate()
  }
  return got
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { adopt } = await import('fdwire')
  const [what, json] = process.argv.slice(2)
  const { options, seed, count, paths } = JSON.parse(json)
  const channel = adopt(3, options)
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  if (what === 'receive') {
    const got = await receiveCargo(channel, seed)
    // At the end the channel closes itself.
    await new Promise(done => (channel.closed ? done() : channel.once('close', done)))
    console.log(JSON.stringify({ got, left: open() - before + 1, stats: channel.stats }))
  } else {
    const files = paths.map(path => openSync(path, 'r'))
    await sendCargo(channel, plan(seed, count, paths.length), files)
    for (const fd of files) closeSync(fd)
    console.log(JSON.stringify({ left: open() - before, stats: channel.stats }))
    channel.destroy()
  }
}
