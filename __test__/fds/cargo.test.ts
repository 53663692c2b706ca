/**
 * Streams with descriptors, by the hundred: each arrives with its own message, in its place.
 *
 * What is sent a seed decides, which a failure names. The other end is another process.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach } from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import { channelToPeer } from '../support/rights.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

// biome-ignore lint/suspicious/noExplicitAny: JavaScript that the child runs too
type Any = any
const cargo: Any = await import(testPath('support/children/cargo.mjs'))

const FILES = 12
const COUNT = 150
type Got = [number, string, number[]]
interface Item {
  length: number
  fds: number[]
}

const PROTOCOLS: [string, Any][] = [
  ['length_prefixed', { protocol: 'length_prefixed' }],
  ['lines', { protocol: 'lines', encoding: 'buffer' }],
  ['stockings', { protocol: 'stockings' }],
  ['raw', { protocol: 'raw' }],
]
const SEEDS = [1, 20_261_121, 0xdead_beef]

function files() {
  const dir = temporaryDirectory()
  const paths = Array.from({ length: FILES }, (_, i) => join(dir, `${i}`))
  for (const path of paths) writeFileSync(path, path)
  const fds = paths.map(path => openSync(path, 'r'))
  return { paths, fds, inodes: fds.map(fd => fstatSync(fd).ino) }
}

/** How many descriptors of these files are open here. */
const ours = (paths: string[]) => fdTargets().filter(link => paths.includes(link)).length

const start = (what: string, told: object) => (stdio: (string | number)[]) =>
  new Peer(process.execPath, [testPath('support/children/cargo.mjs'), what, JSON.stringify(told)], {
    stdio: stdio as [],
  })

/** Makes a send buffer as small as the kernel allows: a message goes in many pieces. */
function squeeze(fd: number) {
  const code =
    'import socket; socket.socket(fileno=3).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)'
  expect(
    spawnSync('python3', ['-c', code], { stdio: ['ignore', 'ignore', 'inherit', fd] }).status,
  ).toBe(0)
}

/** What must have come, message by message. */
const framed = (items: Item[], inodes: number[]): Got[] =>
  items.map(({ length, fds }, i) => [
    length,
    createHash('md5').update(cargo.payload(length, i)).digest('hex'),
    fds.map(file => inodes[file] as number),
  ])

/** That chunks without borders are the same bytes, and that each set ends in its message. */
function expectRaw(got: Got[], items: Item[], inodes: number[]) {
  const sets = items.filter(({ fds }) => fds.length > 0).map(({ fds }) => fds.map(f => inodes[f]))
  expect(got.filter(([, , fds]) => fds.length > 0).map(([, , fds]) => fds)).toEqual(sets)
  const borders: [number, number][] = []
  let sent = 0
  for (const { length, fds } of items) {
    if (fds.length > 0) borders.push([sent, sent + length])
    sent += length
  }
  let at = 0
  const places: number[] = []
  for (const [length, , fds] of got) {
    at += length
    if (fds.length > 0) places.push(at)
  }
  expect(at).toBe(sent)
  const astray = places.filter((place, i) => {
    const [first, last] = borders[i] as [number, number]
    return place <= first || place > last
  })
  expect(astray).toEqual([])
}

function check(name: string, got: Got[], items: Item[], inodes: number[]) {
  if (name === 'raw') expectRaw(got, items, inodes)
  else expect(got).toEqual(framed(items, inodes))
}

describe.each(PROTOCOLS)('%s', (name, protocol) => {
  const options = { ...protocol, maxFds: 4 }

  it.each(SEEDS)(
    'takes them to another process that reads slowly, in pieces: seed %i',
    async seed => {
      const { paths, fds, inodes } = files()
      const items: Item[] = cargo.plan(seed, COUNT, FILES)
      const { channel, peer } = channelToPeer(options, start('receive', { options, seed }))
      let fulls = 0
      await cargo.sendCargo(channel, items, fds, () => {
        // fdwire asks for a larger buffer when it is full for the first time.
        if (fulls++ === 1) squeeze(channel.fd)
      })
      const { received: got, leaked: left, stats } = await peer.receive()
      check(name, got, items, inodes)
      const sentFds = items.reduce((sum, item) => sum + item.fds.length, 0)
      expect(stats).toMatchObject({ receivedFds: sentFds, malformed: 0, noise: 0 })
      expect(channel.stats).toMatchObject({ sent: COUNT, sentFds, queued: 0, queuedFds: 0 })
      expect([left, ours(paths), fulls > 1]).toEqual([0, FILES, true])
      for (const fd of fds) closeSync(fd)
    },
  )

  it.each(SEEDS)('brings them from another process: seed %i', async seed => {
    const { paths, fds, inodes } = files()
    const items: Item[] = cargo.plan(seed, COUNT, FILES)
    const told = { options, seed, count: COUNT, paths }
    const { channel, peer } = channelToPeer(options, start('send', told))
    const got: Got[] = await cargo.receiveCargo(channel, seed)
    const { leaked: left, stats } = await peer.receive()
    check(name, got, items, inodes)
    expect(stats).toMatchObject({ sent: COUNT, queued: 0, queuedFds: 0 })
    expect([left, ours(paths)]).toEqual([0, FILES])
    for (const fd of fds) closeSync(fd)
  })
})
