/** `Channel.listen` and `Channel.over` of fdwire/msg_channel. */
import { join } from 'node:path'
import { listen, over, pair } from 'fdwire'
import { Channel } from 'fdwire/msg_channel'
import { describe, expect, it, vi } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../../support/channels.js'
import { connectedChannels, HOST, startListening } from '../../support/msg_channel.js'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'
import {
  afterTest,
  nodeSocketPair,
  rawStreamPair,
  runCleanupsAfterEach,
} from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MSG = { protocol: 'msg_channel' } as const

describe('Channel.listen', () => {
  it('yields clients and exposes host and port, and break closes only the listener', async () => {
    const opening = Channel.listen(HOST, 0)
    const { port, host, listener } = await opening
    expect([port > 0, host]).toEqual([true, HOST])
    const clients = await Promise.all([1, 2, 3].map(() => Channel.connect(HOST, port)))
    for (const client of clients) track(client.channel)
    const accepted: Channel[] = []
    for await (const channel of opening) {
      track(channel.channel)
      if (accepted.push(channel) === 3) break
    }
    expect(accepted.map(channel => channel.port).sort()).toEqual(
      clients.map(({ channel }) => (channel.localAddress as { port: number }).port).sort(),
    )
    expect(accepted.map(channel => channel.ip)).toEqual([HOST, HOST, HOST])
    expect(clients.map(client => client.port)).toEqual([port, port, port])
    expect(listener.closed).toBe(true)
    await expect(Channel.connect(HOST, port)).rejects.toEqual(errorWithCode('ECONNREFUSED'))
    // The accepted channels remain open.
    await Promise.all(accepted.map(channel => channel.send('still open')))
    for (const client of clients) expect(String(await client.recv())).toBe('still open')
  })

  it('ends a pending iteration when it is closed', async () => {
    const opening = Channel.listen(HOST, 0)
    const waiting = opening.next()
    await opening.close()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(await opening.next()).toEqual({ done: true, value: undefined })
  })

  it('shares its port with other listeners unless reuse is false', async () => {
    const first = await startListening()
    const second = await Channel.listen(HOST, first.port)
    expect(second.port).toBe(first.port)
    await second.close()
    const alone = await startListening({ reuse: false })
    const iterate = async () => {
      for await (const client of Channel.listen(HOST, alone.port)) track(client.channel)
    }
    await expect(iterate()).rejects.toEqual(errorWithCode('EADDRINUSE'))
    await expect(Channel.listen(HOST, alone.port)).rejects.toEqual(errorWithCode('EADDRINUSE'))
  })

  it('with echo: true prints each client, with echo as a function calls it, and by default prints nothing', async () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {})
    try {
      const [silent] = await connectedChannels()
      expect(silent.ip).toBe(HOST)
      expect(log).not.toHaveBeenCalled()
      const [client] = await connectedChannels({ echo: true })
      const { port } = client.channel.localAddress as { port: number }
      expect(log.mock.calls).toEqual([[`Client connected: ${HOST}:${port}`]])
      const accepted: unknown[] = []
      const [, server] = await connectedChannels({ echo: channel => accepted.push(channel) })
      expect(accepted).toEqual([server])
      expect(log).toHaveBeenCalledTimes(1)
    } finally {
      log.mockRestore()
    }
  })

  it('and Channel.connect reject unknown options and options of the wrong type', async () => {
    const wrong = { encoding: 'json' } as object
    await expect(Channel.listen(HOST, 0, wrong)).rejects.toThrow(/no option encoding/)
    await expect(Channel.connect(HOST, 1, wrong)).rejects.toThrow(/no option encoding/)
    await expect(Channel.listen(HOST, 0, { reuse: 1 } as object)).rejects.toThrow(/reuse must be/)
    await expect(Channel.listen(HOST, 0, { echo: 1 } as object)).rejects.toThrow(/echo must be/)
    await expect(Channel.connect(HOST, 1, { echo: true } as object)).rejects.toThrow(/echo/)
  })
})

describe('Channel.over', () => {
  it('accepts any channel of msg_channel: a pair, a path, a Duplex', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const listener = await listen(path, MSG)
    afterTest(() => listener.close())
    const [near, far] = await nodeSocketPair()
    for (const channel of [pair(MSG)[0], over(near, MSG)]) {
      const wrapped = Channel.over(track(channel))
      expect(wrapped.channel).toBe(channel)
    }
    far.write('\r\nMSG 2\r\nhi')
    const [bytes, channel] = rawStreamPair(MSG)
    const wrapped = Channel.over(channel as never)
    expect([wrapped.ip, wrapped.port]).toEqual([undefined, undefined])
    bytes.send(Buffer.from('\r\nMSG 2\r\nhi'))
    expect(String(await wrapped.recv())).toBe('hi')
    const [lines, other] = pair({ protocol: 'lines' })
    track(lines)
    track(other)
    expect(() => Channel.over(lines as never)).toThrow(/not one of lines/)
  })
})
