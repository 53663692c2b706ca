/** fdwire/uds_comms with a peer in Python, and in the example. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { QUIT, UdsClient } from 'fdwire/uds_comms'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode } from '../../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../../support/processes.js'
import {
  closeAfterTest,
  closeConnectionsAfterEach,
  EPIPE,
  READY,
  receiveOutcomes,
  startPython,
  startServer,
  TEXTS,
} from '../../support/uds_comms.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
closeConnectionsAfterEach()

describe('with a peer in Python, by the sheet alone', () => {
  it('whose client we serve', async () => {
    const { path, server } = await startServer()
    const peer = startPython()
    const [answer] = await Promise.all([
      peer.request({ op: 'connect', path }),
      server.waitForConnection(),
    ])
    expect(answer).toEqual({})
    peer.send({ op: 'echo', count: TEXTS.length })
    for (const text of TEXTS) {
      const [got] = await Promise.all([server.receive(), server.send(text)])
      expect(got).toBe(text)
    }
    expect(await peer.receive()).toEqual({})
    peer.send({ op: 'send', texts: TEXTS.slice(0, 7), split: 1 })
    expect(await receiveOutcomes(server, 7)).toEqual(TEXTS.slice(0, 7))
    expect(await peer.receive()).toEqual({})
    await server.send(QUIT)
    expect(await peer.request({ op: 'receive' })).toEqual({ texts: [QUIT] })
    await peer.request({ op: 'close' })
    expect(await receiveOutcomes(server, 2)).toEqual([null, null])
    await expect(server.send('x')).rejects.toEqual(EPIPE)
  })

  it('whose server we ask for work', async () => {
    const path = join(temporaryDirectory(), 'uds')
    const peer = startPython()
    await peer.request({ op: 'listen', path })
    peer.send({ op: 'wait' })
    const client = closeAfterTest(await UdsClient.connect(path))
    expect(await peer.receive()).toEqual({})
    for (const text of TEXTS) {
      peer.send({ op: 'send', texts: [text] })
      expect(await client.receive()).toBe(text)
      expect(await peer.receive()).toEqual({})
      peer.send({ op: 'receive' })
      await client.send(text)
      expect(await peer.receive()).toEqual({ texts: [text] })
    }
    await peer.request({ op: 'send', texts: ['QUIT'] })
    expect(await client.receive()).toBe(QUIT)
    await client.close()
    expect(await peer.request({ op: 'receive' })).toEqual({ texts: [null] })
  })

  it('whose bytes before and behind OK we do not say', async () => {
    const path = join(temporaryDirectory(), 'uds')
    const peer = startPython()
    await peer.request({ op: 'listen', path })
    peer.send({ op: 'accept' })
    const meeting = UdsClient.connect(path)
    expect(await peer.receive()).toEqual({})
    expect(await peer.request({ op: 'raw' })).toEqual({ raw: Buffer.from(READY).toString('hex') })
    await peer.request({ op: 'send', texts: ['OK', '{"x":1}'] })
    const client = closeAfterTest(await meeting)
    expect(await client.receive()).toBe('{"x":1}')
  })

  it('that is killed in the middle of the handshake', async () => {
    const path = join(temporaryDirectory(), 'uds')
    const peer = startPython()
    await peer.request({ op: 'listen', path })
    peer.send({ op: 'accept' })
    const meeting = UdsClient.connect(path)
    meeting.catch(() => {})
    await peer.receive()
    await peer.request({ op: 'send', raw: Buffer.from('%T0').toString('hex') })
    peer.send({ op: 'kill' })
    await expect(meeting).rejects.toEqual(errorWithCode('HANDSHAKE'))
  })
})

describe('examples/keystone', () => {
  it('asks, gets errors and retries, and ends its child by QUIT', async () => {
    const temporary = mkdtempSync(join(tmpdir(), 'fdwire-keystone-'))
    try {
      const child = spawn(process.execPath, [testPath('../examples/keystone/parent.mjs')], {
        env: { ...process.env, TMPDIR: temporary },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const [story, errors, [code]] = await Promise.all([
        textOf(child.stdout),
        textOf(child.stderr),
        once(child, 'close'),
      ])
      expect([code, errors]).toEqual([0, ''])
      expect(story).toContain('The id of bob is u-1.')
      expect(story.match(/I take a new child/g)?.length).toBe(2)
      expect(story).toContain('The service is up.')
      expect(story).toContain('delete_everything: There is no delete_everything')
      expect(story).toContain('I was told to quit.')
      expect(story).toMatch(/The child has ended, and its socket is removed\.\n$/)
      expect(readdirSync(temporary)).toEqual([])
    } finally {
      rmSync(temporary, { recursive: true })
    }
  })

  it("writes JSON in the original's bytes", async () => {
    const { toJson } = await import(testPath('../examples/keystone/json.mjs'))
    expect(toJson({ b: [{ d: 1, c: null }], a: 'é😀"\u007f' })).toBe(
      '{"a":"\\u00e9\\ud83d\\ude00\\"\u007f","b":[{"c":null,"d":1}]}',
    )
  })
})
