/** fdwire/uds_comms with a Python peer, and in examples/keystone. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { QUIT, UdsClient } from 'fdwire/uds_comms'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode } from '../../support/channels.js'
import { useExample } from '../../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'
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

const file = useExample('keystone')

describe('UdsServer with a Python client', () => {
  it('exchanges texts of all sizes until the client closes', async () => {
    const { path, server } = await startServer()
    const peer = startPython()
    const [response] = await Promise.all([
      peer.request({ op: 'connect', path }),
      server.waitForConnection(),
    ])
    expect(response).toEqual({})
    peer.send({ op: 'echo', count: TEXTS.length })
    for (const text of TEXTS) {
      const [received] = await Promise.all([server.receive(), server.send(text)])
      expect(received).toBe(text)
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
})

describe('UdsClient with a Python server', () => {
  it('exchanges texts of all sizes until it closes', async () => {
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

  it('sends only READY before OK and reads the message that follows OK in the same segment', async () => {
    const path = join(temporaryDirectory(), 'uds')
    const peer = startPython()
    await peer.request({ op: 'listen', path })
    peer.send({ op: 'accept' })
    const connecting = UdsClient.connect(path)
    expect(await peer.receive()).toEqual({})
    expect(await peer.request({ op: 'raw' })).toEqual({ raw: Buffer.from(READY).toString('hex') })
    await peer.request({ op: 'send', texts: ['OK', '{"x":1}'] })
    const client = closeAfterTest(await connecting)
    expect(await client.receive()).toBe('{"x":1}')
  })

  it('rejects connect if the server is killed during the handshake', async () => {
    const path = join(temporaryDirectory(), 'uds')
    const peer = startPython()
    await peer.request({ op: 'listen', path })
    peer.send({ op: 'accept' })
    const connecting = UdsClient.connect(path)
    connecting.catch(() => {})
    await peer.receive()
    await peer.request({ op: 'send', raw: Buffer.from('%T0').toString('hex') })
    peer.send({ op: 'kill' })
    await expect(connecting).rejects.toEqual(errorWithCode('HANDSHAKE'))
  })
})

describe('the keystone example', () => {
  it('sends requests, handles errors, replaces a failed child and ends it with QUIT', async () => {
    const temporary = mkdtempSync(join(tmpdir(), 'fdwire-keystone-'))
    try {
      const child = spawn(process.execPath, [file('parent')], {
        env: { ...process.env, TMPDIR: temporary },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const [output, errors, [code]] = await Promise.all([
        textOf(child.stdout),
        textOf(child.stderr),
        once(child, 'close'),
      ])
      expect([code, errors]).toEqual([0, ''])
      expect(output).toContain('The id of bob is u-1.')
      expect(output.match(/I start a new child/g)?.length).toBe(2)
      expect(output).toContain('The service is up.')
      expect(output).toContain('delete_everything: There is no delete_everything')
      expect(output).toContain('I have received QUIT.')
      expect(output).toMatch(/The child has ended, and its socket is removed\.\n$/)
      expect(readdirSync(temporary)).toEqual([])
    } finally {
      rmSync(temporary, { recursive: true })
    }
  })

  it('encodes JSON to the same bytes as the original', async () => {
    const { toJson } = await import(file('json'))
    expect(toJson({ b: [{ d: 1, c: null }], a: 'é😀"\u007f' })).toBe(
      '{"a":"\\u00e9\\ud83d\\ude00\\"\u007f","b":[{"c":null,"d":1}]}',
    )
  })
})
