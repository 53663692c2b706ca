import { join } from 'node:path'
import { Socket } from 'fdwire/jsoncomm'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'

cleanUpAfterEach()

const open: Socket[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(socket => socket.close()))
})
const keep = (socket: Socket) => {
  open.push(socket)
  return socket
}

async function serverAndClient() {
  const path = join(temporaryDirectory(), 'socket')
  const server = keep(await Socket.newServer(path))
  return { server, client: keep(await Socket.newClient(path)) }
}

/** Ten datagrams wait at most in the queue of a server, and one more. */
async function fill(client: Socket): Promise<Promise<void>[]> {
  const sends: Promise<void>[] = []
  while (client.channel.stats.queued === 0) sends.push(client.send(sends.length))
  return sends
}

describe('send resolves when the kernel has the message, and not before', () => {
  it('on a queue that is full', async () => {
    const { server, client } = await serverAndClient()
    const sends = await fill(client)
    let settled = false
    const last = sends.at(-1)?.then(() => {
      settled = true
    })
    await Promise.all(sends.slice(0, -1))
    await new Promise(setImmediate)
    expect(settled).toBe(false)
    for (let i = 0; i < sends.length; i++) expect((await server.recv())?.payload).toBe(i)
    await last
  })

  it('rejects when its destination dies before', async () => {
    const { server, client } = await serverAndClient()
    const sends = await fill(client)
    const [last] = await Promise.all([sends.at(-1)?.catch(error => error), server.close()])
    expect(last).toEqual(
      expect.objectContaining({ code: expect.stringMatching(/^ECONN|ENOTCONN/) }),
    )
  })

  it('for each destination alone: one that is full holds up nobody else', async () => {
    const dir = temporaryDirectory()
    const [full, dies] = [join(dir, 'full'), join(dir, 'dies')]
    const [one, two] = [keep(await Socket.newServer(full)), keep(await Socket.newServer(dies))]
    const client = keep(await Socket.newClient())
    const { channel } = client
    const fillUp = (destination: string) => {
      const sends: Promise<void>[] = []
      const before = channel.stats.queued
      while (channel.stats.queued === before) sends.push(client.send(0, { destination }))
      return sends.at(-1) as Promise<void>
    }
    const [toDying, toFull] = [fillUp(dies), fillUp(full)]
    const outcome = toFull.then(
      () => 'sent',
      error => error.code,
    )
    const other = toDying.then(
      () => 'sent',
      error => error.code,
    )
    // The second dies: that is the business of the message to it alone.
    await two.close()
    expect(await other).toMatch(/^ECONN|ENOENT/)
    for (let i = 0; i < 11; i++) await one.recv()
    expect(await outcome).toBe('sent')
    await one.recv()
  })

  it('also while another destination stays full', { timeout: 5_000 }, async () => {
    const dir = temporaryDirectory()
    const [full, quick] = [join(dir, 'full'), join(dir, 'quick')]
    const servers = [keep(await Socket.newServer(full)), keep(await Socket.newServer(quick))]
    const client = keep(await Socket.newClient())
    const until = (queued: number, destination: string) => {
      const sends: Promise<void>[] = []
      while (client.channel.stats.queued < queued) sends.push(client.send(0, { destination }))
      return sends.at(-1) as Promise<void>
    }
    const toFull = until(1, full).catch(() => {})
    const toQuick = until(2, quick)
    const read = (async () => {
      for (let i = 0; i < 12; i++) await servers[1]?.recv()
    })()
    await Promise.all([toQuick, read])
    expect(client.channel.stats.queued).toBe(1)
    client.channel.destroy()
    await toFull
  })
})
