/**
 * Long streams of messages with descriptors, to and from another process.
 *
 * The messages are generated from a seed, which the title of a failed test names.
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

// biome-ignore lint/suspicious/noExplicitAny: a JavaScript module, shared with the child
type Any = any
const traffic: Any = await import(testPath('support/children/random-traffic.mjs'))

const FILES = 12
const COUNT = 150
/** A received message: its length (bytes), its hash and the inodes of its descriptors. */
type Received = [number, string, number[]]
/** A message to send: its length (bytes) and the indices of the files to send with it. */
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

/** Creates and opens the files to send. */
function openFiles() {
  const dir = temporaryDirectory()
  const paths = Array.from({ length: FILES }, (_, i) => join(dir, `${i}`))
  for (const path of paths) writeFileSync(path, path)
  const fds = paths.map(path => openSync(path, 'r'))
  return { paths, fds, inodes: fds.map(fd => fstatSync(fd).ino) }
}

/** Counts the open descriptors of these files in this process. */
const countOpenFiles = (paths: string[]) => fdTargets().filter(link => paths.includes(link)).length

const start = (role: string, args: object) => (stdio: (string | number)[]) =>
  new Peer(
    process.execPath,
    [testPath('support/children/random-traffic.mjs'), role, JSON.stringify(args)],
    {
      stdio: stdio as [],
    },
  )

/** Shrinks a send buffer to the kernel's minimum, so that a message needs many writes. */
function shrinkSendBuffer(fd: number) {
  const code =
    'import socket; socket.socket(fileno=3).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)'
  expect(
    spawnSync('python3', ['-c', code], { stdio: ['ignore', 'ignore', 'inherit', fd] }).status,
  ).toBe(0)
}

/** The messages that a framed protocol must deliver. */
const expectedMessages = (items: Item[], inodes: number[]): Received[] =>
  items.map(({ length, fds }, i) => [
    length,
    createHash('md5').update(traffic.payload(length, i)).digest('hex'),
    fds.map(file => inodes[file] as number),
  ])

/**
 * Checks that raw chunks have the right total length and that each set arrives within its message.
 */
function expectRawChunks(received: Received[], items: Item[], inodes: number[]) {
  const sets = items.filter(({ fds }) => fds.length > 0).map(({ fds }) => fds.map(f => inodes[f]))
  expect(received.filter(([, , fds]) => fds.length > 0).map(([, , fds]) => fds)).toEqual(sets)
  const ranges: [number, number][] = []
  let sent = 0
  for (const { length, fds } of items) {
    if (fds.length > 0) ranges.push([sent, sent + length])
    sent += length
  }
  let at = 0
  const positions: number[] = []
  for (const [length, , fds] of received) {
    at += length
    if (fds.length > 0) positions.push(at)
  }
  expect(at).toBe(sent)
  const outside = positions.filter((position, i) => {
    const [first, last] = ranges[i] as [number, number]
    return position <= first || position > last
  })
  expect(outside).toEqual([])
}

function expectMessages(name: string, received: Received[], items: Item[], inodes: number[]) {
  if (name === 'raw') expectRawChunks(received, items, inodes)
  else expect(received).toEqual(expectedMessages(items, inodes))
}

describe.each(PROTOCOLS)('a %s stream with descriptors', (name, protocol) => {
  const options = { ...protocol, maxFds: 4 }

  it.each(SEEDS)(
    'arrives intact in a slow process, over a small send buffer (seed %i)',
    async seed => {
      const { paths, fds, inodes } = openFiles()
      const items: Item[] = traffic.generateMessages(seed, COUNT, FILES)
      const { channel, peer } = channelToPeer(options, start('receive', { options, seed }))
      let timesFull = 0
      await traffic.sendMessages(channel, items, fds, () => {
        // Not the first time, when fdwire enlarges the send buffer.
        if (timesFull++ === 1) shrinkSendBuffer(channel.fd)
      })
      const { received, leaked, stats } = await peer.receive()
      expectMessages(name, received, items, inodes)
      const sentFds = items.reduce((sum, item) => sum + item.fds.length, 0)
      expect(stats).toMatchObject({ receivedFds: sentFds, malformed: 0, noise: 0 })
      expect(channel.stats).toMatchObject({ sent: COUNT, sentFds, queued: 0, queuedFds: 0 })
      expect([leaked, countOpenFiles(paths), timesFull > 1]).toEqual([0, FILES, true])
      for (const fd of fds) closeSync(fd)
    },
  )

  it.each(SEEDS)('arrives intact from another process (seed %i)', async seed => {
    const { paths, fds, inodes } = openFiles()
    const items: Item[] = traffic.generateMessages(seed, COUNT, FILES)
    const args = { options, seed, count: COUNT, paths }
    const { channel, peer } = channelToPeer(options, start('send', args))
    const received: Received[] = await traffic.receiveMessages(channel, seed)
    const { leaked, stats } = await peer.receive()
    expectMessages(name, received, items, inodes)
    expect(stats).toMatchObject({ sent: COUNT, queued: 0, queuedFds: 0 })
    expect([leaked, countOpenFiles(paths)]).toEqual([0, FILES])
    for (const fd of fds) closeSync(fd)
  })
})
