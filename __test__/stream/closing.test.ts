import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, testPath } from '../support/processes.js'
import {
  FRAMES,
  LINES,
  nodeSocketAndChannel,
  patternBytes,
  receiveAll,
  receiveUpTo,
  recordEvents,
  runCleanupsAfterEach,
  STREAM_CONNECTIONS,
  streamPair,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MIB = 1024 * 1024

describe.each(STREAM_CONNECTIONS)('closing a stream over %s', (_, connected) => {
  it('sends the whole queue before close resolves, even to a slow reader', async () => {
    const [a, b] = await connected(FRAMES)
    for (let i = 0; i < 80; i++) a.send(patternBytes(100_000 + i))
    // Unread input is discarded without resetting the connection.
    b.send(patternBytes(100_000))
    await loopTurns(3)
    const closed = a.close()
    const lengths: number[] = []
    for await (const { value } of b) {
      lengths.push((value as Buffer).length)
      await loopTurns(1)
    }
    expect(lengths).toEqual(Array.from({ length: 80 }, (_, i) => 100_000 + i))
    await closed
  })

  it('rejects at the timeout of close with the number of unsent bytes, and destroys the channel', async () => {
    const [a, b] = await connected(FRAMES)
    a.send(patternBytes(8 * MIB))
    const closed = a.close({ timeout: 30 })
    await expect(closed).rejects.toMatchObject({ code: 'ERR_FDWIRE_TIMEOUT' })
    const { unsent } = (await closed.catch(error => error)) as { unsent: number }
    expect(unsent).toBeGreaterThan(1 * MIB)
    expect(a.closed).toBe(true)
    await expect(receiveAll(b)).rejects.toMatchObject({
      code: expect.stringMatching(/CUT_SHORT|ECONNRESET/),
    })
  })

  it('rejects close if the peer is destroyed before it has received everything', async () => {
    const [a, b] = await connected(FRAMES)
    a.send(patternBytes(8 * MIB))
    const closed = a.close()
    const outcome = expect(closed).rejects.toMatchObject({
      code: expect.stringMatching(/EPIPE|ECONNRESET/),
    })
    await loopTurns(3)
    b.destroy()
    await outcome
  })

  it('succeeds if both sides call close at once', async () => {
    const [a, b] = await connected(LINES)
    a.send('one')
    b.send('two')
    await Promise.all([a.close(), b.close()])
    expect([a.closed, b.closed]).toEqual([true, true])
  })

  it('with destroy also closes the channel of a peer that does not read', async () => {
    const [a, b] = await connected(LINES)
    const events = recordEvents(b, false)
    a.destroy()
    await whenClosed(b)
    expect(events.at(-1)).toBe('close')
  })

  it('works from every event handler, with close, destroy and end', async () => {
    for (const event of ['message', 'end', 'drain'] as const) {
      for (const method of ['close', 'destroy', 'end'] as const) {
        const [a, b] = await connected(LINES)
        const events = recordEvents(a)
        if (event === 'drain') while (a.send('x'.repeat(9_999))) {}
        a.once(event, () => void a[method]())
        const got = receiveAll(b).catch(() => {})
        b.send('one')
        b.send('two')
        if (event !== 'drain') b.end()
        else await whenClosed(method === 'end' ? b : a)
        await Promise.all([whenClosed(a), got])
        expect(events.filter(one => one === 'close')).toEqual(['close'])
        expect(events.at(-1)).toBe('close')
        if (method !== 'end' && event === 'message') expect(events).toEqual(['one', 'close'])
      }
    }
  })
})

describe('close of a stream', () => {
  it('leaves a Unix socket open in a child process that has inherited it', async () => {
    const [a, b] = pair({ ...LINES, type: 'stream' }).map(track) as [Channel, Channel]
    const peer = new Peer(
      process.execPath,
      [testPath('support/children/streams.mjs'), 'inherits'],
      {
        stdio: ['pipe', 'pipe', 'pipe', b.fd],
      },
    )
    expect(await peer.receive()).toBe('ready')
    b.send('from the parent')
    await b.close()
    peer.send({})
    expect(await receiveUpTo(a, 2)).toEqual(['from the parent', 'from the child'])
    a.send('still here')
    expect(await peer.receive()).toBe('still here')
    expect(await a.receive()).toBe(null)
  })

  it("sends a FIN over TCP, discards input and waits for the peer's end", async () => {
    const [socket, channel] = await nodeSocketAndChannel(LINES)
    socket.allowHalfOpen = true
    let got = ''
    socket.on('data', chunk => {
      got += chunk
    })
    channel.send('bye')
    let closed = false
    const closing = channel.close().then(() => {
      closed = true
    })
    await once(socket, 'end')
    for (let i = 0; i < 50; i++) socket.write(patternBytes(100_000))
    await loopTurns(5)
    expect([got, closed]).toEqual(['bye\n', false])
    socket.end()
    await closing
  })
})

describe('the descriptor of a detached stream', () => {
  it('stays open until its owner closes it', async () => {
    const [a, b] = streamPair(LINES)
    const fd = b.detach()
    expect(b.closed).toBe(true)
    closeSync(fd)
    expect(await a.receive()).toBe(null)
  })
})
