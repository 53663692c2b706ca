/** Descriptors exchanged with Python's socket.send_fds and recv_fds, over every type of socket. */
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FdSet } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode } from '../support/channels.js'
import {
  cleanUpAfterEach,
  countOpenFds,
  readContents,
  temporaryDirectory,
  waitForOpenFds,
} from '../support/processes.js'
import { channelToPeer, countFdsOf, pythonPeerStarter, TRANSPORTS } from '../support/rights.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

const COUNTS = [0, 1, 3, 16, 253]
const textsOf = (count: number) => Array.from({ length: count }, (_, i) => `file ${i} of ${count}`)
const identity = (fd: number) => ({ ino: fstatSync(fd).ino, text: readContents(fd) })
const identities = (fds: FdSet) => [...fds].map(identity)

/** Creates files with these contents and opens them for reading. */
function filesWith(contents: string[]): number[] {
  const dir = temporaryDirectory()
  return contents.map((text, i) => {
    writeFileSync(join(dir, `${i}`), text)
    return openSync(join(dir, `${i}`), 'r')
  })
}

describe.each(TRANSPORTS)('a channel and a Python peer over %s', (type, options) => {
  const start = () => channelToPeer(options, pythonPeerStarter(type))

  it.each(COUNTS)('pass the same files to Python (%i fds)', async count => {
    const { channel, peer } = start()
    await peer.request({ op: 'open' })
    const before = countFdsOf(peer.child.pid)
    const fds = filesWith(textsOf(count))
    const files = fds.map(identity)
    const value = { count, text: 'é "\\ 😀' }
    channel.send(value, { fds })
    for (const fd of fds) closeSync(fd)
    const received = await peer.request({ op: 'recv' })
    expect(received).toEqual({ value, files, fds: count, cut: false })
    expect(files.map(({ text }) => text)).toEqual(textsOf(count))
    expect([channel.stats.sentFds, countFdsOf(peer.child.pid)]).toEqual([count, before])
  })

  it.each(COUNTS)('pass the same files from Python (%i fds)', async count => {
    const { channel, peer } = start()
    const before = countOpenFds()
    const value = { count, text: 'é "\\ 😀' }
    const { inos } = await peer.request({ op: 'send', value, texts: textsOf(count) })
    const message = await channel.receive()
    const fds = message?.fds as FdSet
    expect(message?.value).toEqual(value)
    const files = inos.map((ino: number, i: number) => ({ ino, text: textsOf(count)[i] }))
    expect(identities(fds)).toEqual(files)
    fds.close()
    await waitForOpenFds(before)
  })

  it('keep each set with its message when messages are sent back to back', async () => {
    const { channel, peer } = start()
    const counts = [3, 0, 1, 0, 0, 16, 253, 1, 0]
    for (const count of counts) {
      const fds = filesWith(textsOf(count))
      channel.send(count, { fds })
      for (const fd of fds) closeSync(fd)
    }
    for (const count of counts) {
      const { value, files, cut } = await peer.request({ op: 'recv' })
      expect([value, cut]).toEqual([count, false])
      expect(files.map(({ text }: { text: string }) => text)).toEqual(textsOf(count))
      peer.send({ op: 'send', value: count, texts: textsOf(count) })
      expect(await peer.receive()).toHaveProperty('inos')
    }
    for (const count of counts) {
      const message = await channel.receive()
      expect([message?.value, identities(message?.fds as FdSet).map(({ text }) => text)]).toEqual([
        count,
        textsOf(count),
      ])
      message?.fds.close()
    }
  })

  it('send nothing when a message has 254 descriptors, and the next message arrives', async () => {
    const { channel, peer } = start()
    const fds = filesWith(['content'])
    const many = Array(254).fill(fds[0])
    const before = countOpenFds()
    expect(() => channel.send('refused', { fds: many })).toThrow(errorWithCode('TOO_MANY_FDS'))
    expect(() => channel.send('refused', { fds: new Set(many.keys()) })).toThrow(
      errorWithCode('TOO_MANY_FDS'),
    )
    await expect(channel.request('refused', { fds: many })).rejects.toThrow(
      errorWithCode('TOO_MANY_FDS'),
    )
    expect([countOpenFds(), channel.stats]).toMatchObject([
      before,
      { sent: 0, queued: 0, queuedFds: 0 },
    ])
    channel.send('sent', { fds: many.slice(1) })
    const { value, files } = await peer.request({ op: 'recv' })
    expect([value, files.length]).toEqual(['sent', 253])
    for (const fd of fds) closeSync(fd)
  })

  it('leave no descriptor open in a receiver that has room for fewer or none', async () => {
    const { channel, peer } = start()
    await peer.request({ op: 'open' })
    const before = countFdsOf(peer.child.pid)
    const fds = filesWith(textsOf(3))
    for (const space of [0, 2]) {
      channel.send('x', { fds })
      const size = type === 'stream' ? 7 : 100
      const result = await peer.request({ op: 'recvmsg', size, space })
      expect([result.bytes, result.fds, result.cut]).toEqual([
        type === 'stream' ? 7 : 3,
        space,
        true,
      ])
    }
    expect(countFdsOf(peer.child.pid)).toBe(before)
    for (const fd of fds) closeSync(fd)
  })
})

describe('a stream message that Python sends in pieces', () => {
  it('carries the descriptors of its first piece', async () => {
    const [, options] = TRANSPORTS[2] as (typeof TRANSPORTS)[0]
    const { channel, peer } = channelToPeer(options, pythonPeerStarter('stream'))
    for (const pieces of [1, 2, 7, 100]) {
      const value = 'x'.repeat(1_000 * pieces)
      peer.send({ op: 'send', value, texts: textsOf(pieces % 5), pieces })
      peer.send({ op: 'send', value: 'next' })
      const message = await channel.receive()
      expect(message?.value === value).toBe(true)
      expect(identities(message?.fds as FdSet).map(({ text }) => text)).toEqual(textsOf(pieces % 5))
      message?.fds.close()
      const next = await channel.receive()
      expect([next?.value, next?.fds.length]).toEqual(['next', 0])
      await peer.receive()
      await peer.receive()
    }
  })
})
