import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { Peer, temporaryDirectory, testPath } from '../support/processes.js'
import { SO_PASSCRED, socketOption } from '../support/socket-options.js'
import { afterTest, runCleanupsAfterEach } from '../support/streams.js'

runCleanupsAfterEach()

/** Sends a descriptor to a program without fdwire that has inherited the other end of a pair. */
async function exchange(options: { protocol: 'raw'; type: 'seqpacket' | 'dgram' | 'stream' }) {
  const [mine, theirs] = pair({ ...options, maxFds: 4 })
  afterTest(() => void mine.destroy())
  const program = testPath('support/peers/inherited.py')
  const peer = new Peer('python3', [program], { stdio: ['pipe', 'pipe', 'pipe', theirs.fd] })
  const before = await peer.receive()
  theirs.destroy()
  const path = join(temporaryDirectory(), 'file')
  writeFileSync(path, 'contents')
  const fd = openSync(path, 'r')
  mine.send('message', { fds: [fd] })
  closeSync(fd)
  const after = await peer.request({})
  expect(await peer.exited).toBe(0)
  return { ...before, ...after }
}

describe('an end of a pair that was never read', () => {
  it.each(['seqpacket', 'dgram', 'stream'] as const)(
    'can be inherited by a program that has room for the descriptors only: %s',
    async type => {
      expect(await exchange({ protocol: 'raw', type })).toEqual({
        passcred: 0,
        data: 'message',
        complete: true,
        contents: ['contents'],
      })
    },
  )

  it('stays as the kernel made it while the other end is used, and if that closes', async () => {
    const [mine, theirs] = pair({ protocol: 'raw', type: 'seqpacket' })
    afterTest(() => void theirs.destroy())
    mine.send('unread')
    const ended = new Promise(resolve => theirs.on('end', () => resolve('ended')))
    await mine.close()
    expect(socketOption(theirs.fd, SO_PASSCRED)).toBe(0)
    theirs.on('message', () => {})
    expect(await ended).toBe('ended')
  })
})

describe('a channel that needs SO_PASSCRED', () => {
  it('has the option from its first read on if it is a seqpacket channel, and detach restores what was there', async () => {
    const [mine, theirs] = pair({ protocol: 'raw', type: 'seqpacket' })
    afterTest(() => void mine.destroy())
    expect(socketOption(theirs.fd, SO_PASSCRED)).toBe(0)
    mine.send('')
    expect((await theirs.receive())?.value.length).toBe(0)
    expect(socketOption(theirs.fd, SO_PASSCRED)).toBe(1)
    const fd = theirs.detach()
    expect(socketOption(fd, SO_PASSCRED)).toBe(0)
    closeSync(fd)
  })

  it('tells an empty record that was sent before the first read from the end', async () => {
    const [mine, theirs] = pair({ protocol: 'raw', type: 'seqpacket' })
    for (const text of ['', 'x', '']) mine.send(text)
    await mine.close()
    const seen: number[] = []
    for await (const { value } of theirs) seen.push(value.length)
    expect(seen).toEqual([0, 1, 0])
  })

  it('has it at once if it is a datagram channel with the option credentials', async () => {
    const [mine, theirs] = pair({ protocol: 'raw', type: 'dgram', credentials: true })
    expect(socketOption(mine.fd, SO_PASSCRED)).toBe(1)
    mine.destroy()
    theirs.destroy()
  })
})
