import { existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { adopt, type Channel, pair } from 'fdwire'
import { UdsClient, UdsServer } from 'fdwire/uds_comms'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'
import { waitUntil } from '../../support/streams.js'
import {
  closeAfterTest,
  closeConnectionsAfterEach,
  connectedClient,
  connectedRawClient,
  EPIPE,
  frame,
  READY,
  rawClient,
  receiveOutcomes,
  startPython,
  startRawListener,
  startServer,
  TEXTS,
  UDS_COMMS,
} from '../../support/uds_comms.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
closeConnectionsAfterEach()

describe('UdsServer and UdsClient', () => {
  it('complete the handshake and exchange texts of all sizes in both directions', async () => {
    const { server, client } = await connectedClient()
    for (const text of TEXTS) {
      const sent = server.send(text)
      expect(await client.receive()).toBe(text)
      await sent
      const [received] = await Promise.all([server.receive(), client.send(text)])
      expect(received).toBe(text)
    }
    expect(server.channel?.protocol).toBe('uds_comms')
    expect(client.channel.peer).toMatchObject({ pid: process.pid })
  })

  it('send nothing but READY and OK by themselves, and ignore input before READY', async () => {
    const { path, server } = await startServer()
    const socket = rawClient(path, `noise${frame('one')}%bad$%$${READY}${frame('two')}`)
    await server.waitForConnection()
    await server.send('{"x":1}')
    await waitUntil(() => socket.readableLength >= 20)
    expect(String(socket.read())).toBe('%T0s=$%eyJ4IjoxfQ==$')
    expect(await server.receive()).toBe('two')
  })

  it('accept OK and the first message in one segment or byte by byte', async () => {
    const whole = await startRawListener(`junk%T0s=$${frame('first')}${frame('second')}`)
    const client = closeAfterTest(await UdsClient.connect(whole))
    expect(await receiveOutcomes(client, 2)).toEqual(['first', 'second'])

    const [near, far] = pair({ protocol: 'raw', type: 'stream' }).map(track) as Channel<Buffer>[]
    const bytes = Buffer.from(`%T0s=$${frame('héllo')}%bad$${frame('😀')}`)
    const connecting = UdsClient.over(adopt(far?.detach() as number, UDS_COMMS))
    for (const byte of bytes) {
      near?.send(Buffer.of(byte))
      await loopTurns(2)
    }
    expect(await receiveOutcomes(closeAfterTest(await connecting), 3)).toEqual([
      'héllo',
      'NOT_BASE64',
      '😀',
    ])
  })

  it('reject an empty text, a lone surrogate and a non-string without sending anything', async () => {
    const { server, client } = await connectedClient()
    await expect(server.send('')).rejects.toEqual(errorWithCode('UNENCODABLE'))
    await expect(server.send('\udc00')).rejects.toEqual(errorWithCode('ILL_FORMED_TEXT'))
    await expect(client.send(1 as never)).rejects.toThrow(TypeError)
    await server.send('good')
    expect(await client.receive()).toBe('good')
  })

  it('lose no message when receive is aborted by a timeout or signal', async () => {
    const { server, client } = await connectedClient()
    await expect(client.receive({ timeout: 1 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    const waiting = client.receive({ signal: AbortSignal.timeout(1) })
    await expect(waiting).rejects.toHaveProperty('name', 'AbortError')
    await server.send('later')
    expect(await client.receive()).toBe('later')
    await expect(client.receive({ soon: true } as never)).rejects.toThrow(TypeError)
  })

  it('reject unknown options and a channel of another protocol', async () => {
    const path = join(temporaryDirectory(), 'uds')
    for (const options of [
      { encoding: 'json' },
      { maxConnections: 2 },
      { handshakeTimeout: '1' },
    ]) {
      await expect(UdsServer.listen(path, options as never)).rejects.toThrow(TypeError)
      await expect(UdsClient.connect(path, options as never)).rejects.toThrow(TypeError)
    }
    await expect(UdsClient.over({} as never)).rejects.toThrow('takes a channel of uds_comms')
    expect(() => UdsServer.over(null as never)).toThrow('takes a channel of uds_comms')
    expect(existsSync(path)).toBe(false)
  })
})

describe('a malformed uds_comms frame', () => {
  it('rejects the oldest receive, and the next receive gets the next message', async () => {
    const { server } = await connectedRawClient(
      `${frame('1')}%bad$${frame('2')}%aGV${frame('')}${frame('3')}`,
    )
    const expected = ['1', 'NOT_BASE64', '2', 'FRAME_CUT_OFF', '', '3']
    expect(await receiveOutcomes(server, expected.length)).toEqual(expected)
  })

  it('is decoded with lenient: true if the original decodes it', async () => {
    const { server } = await connectedRawClient('%aG%k=$%aGVs%aGk=$%a$%$%aGk=$', { lenient: true })
    expect(await receiveOutcomes(server, 4)).toEqual(['hi', 'helhi', 'NOT_BASE64', 'hi'])
  })

  it('longer than maxMessage rejects one receive and ends the connection', async () => {
    const { server } = await connectedRawClient(`${frame('123')}${frame('x'.repeat(2_000))}`, {
      maxMessage: 999,
    })
    expect(await receiveOutcomes(server, 4)).toEqual(['123', 'MESSAGE_TOO_LARGE', null, null])
    await expect(server.send('x')).rejects.toEqual(errorWithCode('MESSAGE_TOO_LARGE'))
  })
})

describe('the end of a uds_comms connection', () => {
  it('makes receive resolve to null and send reject with EPIPE', async () => {
    const { server, client } = await connectedClient()
    for (const text of ['one', 'two']) await client.send(text)
    await client.close()
    await expect(server.send('after the end')).rejects.toEqual(EPIPE)
    expect(await receiveOutcomes(server, 4)).toEqual(['one', 'two', null, null])
    await expect(server.send('after the end')).rejects.toEqual(EPIPE)
    await server.close()
    expect(await server.receive().catch(error => error.code)).toBe(null)
  })

  it('in one direction leaves the other direction open', async () => {
    const { server, socket } = await connectedRawClient(frame('last'), {}, true)
    socket.end()
    expect(await receiveOutcomes(server, 3)).toEqual(['last', null, null])
    await server.send('reply')
    socket.setEncoding('utf8')
    let received = ''
    socket.on('data', data => {
      received += data
    })
    await waitUntil(() => received === `%T0s=$${frame('reply')}`)
  })

  it('within a message of a killed peer is reported once', async () => {
    const { path, server } = await startServer()
    const peer = startPython()
    const [response] = await Promise.all([
      peer.request({ op: 'connect', path }),
      server.waitForConnection(),
    ])
    expect(response).toEqual({})
    await peer.request({ op: 'send', raw: Buffer.from(`${frame('whole')}%aGVs`).toString('hex') })
    const pending = server.send('x'.repeat(4 * 1024 * 1024))
    pending.catch(() => {})
    peer.send({ op: 'kill' })
    await peer.exited
    const [first, ...others] = await receiveOutcomes(server, 4)
    expect(first).toBe('whole')
    // If the killed peer has unread input, the kernel resets the connection instead.
    expect(['CUT_SHORT', 'ECONNRESET']).toContain(others[0])
    expect(others.slice(1)).toEqual([null, null])
    await expect(pending).rejects.toEqual(EPIPE)
    await expect(server.send('x')).rejects.toEqual(EPIPE)
  })

  it('in both directions at once makes send reject with EPIPE', async () => {
    const [near, far] = pair(UDS_COMMS)
    const connecting = UdsClient.over(near)
    await far.receive()
    far.send('OK')
    const client = closeAfterTest(await connecting)
    await far.close()
    expect(await receiveOutcomes(client, 2)).toEqual([null, null])
    await waitUntil(() => client.channel.closed)
    await expect(client.send('x')).rejects.toEqual(EPIPE)
    expect(await client.receive()).toBe(null)
  })

  it('by close() resolves pending receives to null', async () => {
    const { server, client } = await connectedClient()
    const waiting = [client.receive(), client.receive(), server.receive()]
    await client.close()
    await client.close()
    await server.close()
    expect(client.close()).toBe(client.close())
    expect(server.close()).toBe(server.close())
    expect(await Promise.all(waiting)).toEqual([null, null, null])
    for (const one of [client, server]) {
      await expect(one.send('x')).rejects.toEqual(errorWithCode('CLOSED'))
    }
    await expect(client.receive()).rejects.toEqual(errorWithCode('CLOSED'))
    await client[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })
})

describe('the path of a UdsServer', () => {
  it('has mode 0600 whatever the umask, and is unlinked by close()', async () => {
    const umask = process.umask(0)
    try {
      const { path, server } = await startServer()
      expect(statSync(path).mode & 0o777).toBe(0o600)
      expect(process.umask()).toBe(0)
      await server.close()
      expect(existsSync(path)).toBe(false)
    } finally {
      process.umask(umask)
    }
  })

  it('is not replaced if it is in use or not a socket', async () => {
    const { path, server } = await startServer()
    await expect(UdsServer.listen(path)).rejects.toEqual(errorWithCode('EADDRINUSE'))
    const file = join(temporaryDirectory(), 'file')
    writeFileSync(file, 'content')
    for (const unlink of ['stale', 'always'] as const) {
      await expect(UdsServer.listen(file, { unlink })).rejects.toEqual(errorWithCode('EEXIST'))
    }
    // Like the original, 'always' replaces the socket of a running server, which then must not
    // unlink it.
    const successor = closeAfterTest(await UdsServer.listen(path, { unlink: 'always' }))
    await server.close()
    expect(existsSync(path)).toBe(true)
    await successor.close()
    expect(existsSync(path)).toBe(false)
  })

  it('is replaced if it is stale', async () => {
    const path = join(temporaryDirectory(), 'uds')
    const peer = startPython()
    await peer.request({ op: 'listen', path })
    await peer.stop()
    expect(existsSync(path)).toBe(true)
    await closeAfterTest(await UdsServer.listen(path)).close()
    expect(existsSync(path)).toBe(false)
  })
})
