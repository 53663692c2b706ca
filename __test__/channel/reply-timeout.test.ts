import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  receiveValues,
  track,
  withFd,
} from '../support/channels.js'
import { testPath } from '../support/processes.js'

destroyChannelsAfterEach()

const REPLY_LOST = expect.objectContaining({ code: 'ERR_FDWIRE_REPLY_LOST', fault: 'peer' })
const TYPES = [
  { protocol: 'lines', encoding: 'json' },
  { protocol: 'jsoncomm', type: 'seqpacket' },
] as const

describe.each(TYPES)('replyTimeout ($protocol)', options => {
  const connected = (more = {}) => {
    const [a, b] = pair({ ...options, ...more } as { protocol: 'jsoncomm' })
    return [track(a), track(b)] as const
  }
  const giveUp = async (client: ReturnType<typeof connected>[0]) =>
    expect(client.request('lost', { timeout: 1 })).rejects.toEqual(errorWithCode('TIMEOUT'))

  it('fails the channel if the reply to an abandoned request does not arrive in time', async () => {
    const [client, server] = connected({ replyTimeout: 20 })
    const failed = once(client, 'error')
    await giveUp(client)
    const [error] = await failed
    expect(error).toEqual(REPLY_LOST)
    expect(error.message).toMatch(/within 20 ms \(replyTimeout\)/)
    await expect(client.request(2)).rejects.toBe(error)
    expect((await receiveValues(server, 1))[0]).toBe('lost')
    expect(await server.receive()).toBe(null)
  })

  it('rejects the requests behind it', async () => {
    const [client] = connected({ replyTimeout: 20 })
    const behind = client.request('behind').catch(error => error)
    const abandoned = client.request('lost', { timeout: 1 }).catch(error => error)
    expect(await abandoned).toEqual(errorWithCode('TIMEOUT'))
    expect(await behind).toEqual(REPLY_LOST)
  })

  it('counts from giving up, and drops a late reply that arrives in time, without a consumer', async () => {
    const [client, server] = connected({ replyTimeout: 60_000 })
    await giveUp(client)
    await receiveValues(server, 1)
    server.send('late')
    await expect.poll(() => client.stats.lateReplies).toBe(1)
    const next = client.request('next')
    await receiveValues(server, 1)
    server.send('re next')
    expect((await next).value).toBe('re next')
  })

  it('starts again for the next abandoned request', async () => {
    const [client, server] = connected({ replyTimeout: 300 })
    await giveUp(client)
    server.send('late')
    await expect.poll(() => client.stats.lateReplies).toBe(1)
    const failed = once(client, 'error')
    await giveUp(client)
    expect(await failed).toEqual([REPLY_LOST])
  })

  it('is never over with 0', async () => {
    const [client, server] = connected({ replyTimeout: 0 })
    await giveUp(client)
    await expect(client.receive({ timeout: 50 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    server.sendAll(['late', 'other'])
    expect((await client.receive())?.value).toBe('other')
    expect(client.stats.lateReplies).toBe(1)
  })

  it('does not keep the process alive, and stops with the channel', async () => {
    const [client] = connected({ replyTimeout: 20 })
    await giveUp(client)
    await client.close()
    await new Promise(done => setTimeout(done, 40))
    expect(client.closed).toBe(true)
  })
})

describe('replyTimeout', () => {
  it('does not pass while the channel cannot read, because too many descriptors are open', async () => {
    const [client, server] = pair({
      protocol: 'jsoncomm',
      type: 'seqpacket',
      maxOpenFds: 1,
      replyTimeout: 10,
    })
    track(client)
    track(server)
    await withFd(fd => server.send('event', { fds: [fd] }), '/dev/null')
    const event = await client.receive()
    const errors: unknown[] = []
    client.on('error', error => errors.push(error))
    await expect(client.request(1, { timeout: 1 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    server.send('late')
    await new Promise(done => setTimeout(done, 50))
    expect([errors, client.stats.lateReplies]).toEqual([[], 0])
    event?.fds.close()
    await expect.poll(() => client.stats.lateReplies).toBe(1)
    expect(errors).toEqual([])
  })

  it('is refused for datagrams, where a place expires after sendTimeout', async () => {
    expect(() => pair({ protocol: 'jsoncomm', replyTimeout: 5 } as never)).toThrow(
      /no option replyTimeout: it is for .*, and this is a datagram socket/,
    )
  })
})

describe('the default timeout of request', () => {
  it('is 30,000 ms on a datagram socket, and none elsewhere', () => {
    // A process of its own: fdwire keeps the timers that it finds when it is loaded.
    const program = `
      const { setTimeout } = globalThis
      const delays = []
      globalThis.setTimeout = (run, delay, ...rest) => (delays.push(delay), setTimeout(run, delay, ...rest))
      const { pair } = await import('fdwire')
      for (const options of [
        { protocol: 'lines' },
        { protocol: 'jsoncomm', type: 'seqpacket' },
        { protocol: 'jsoncomm', type: 'dgram' },
        { protocol: 'jsoncomm', type: 'dgram', timeout: 0 },
      ]) {
        const { timeout, ...rest } = options
        const [a, b] = pair(rest)
        delays.length = 0
        a.request('x', { timeout }).catch(() => {})
        console.log(JSON.stringify(delays))
        a.destroy()
        b.destroy()
      }`
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', program],
      { encoding: 'utf8', cwd: testPath('..') },
    )
    expect([stdout.split('\n'), stderr]).toEqual([['[]', '[]', '[30000]', '[]', ''], ''])
  })
})
