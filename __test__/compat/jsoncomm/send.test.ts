import { join } from 'node:path'
import { Socket } from 'fdwire/jsoncomm'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'

cleanUpAfterEach()

const open: Socket[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(socket => socket.close()))
})
/** Registers a socket to be closed after the test, and returns it. */
const track = (socket: Socket) => {
  open.push(socket)
  return socket
}

async function serverAndClient() {
  const path = join(temporaryDirectory(), 'socket')
  const server = track(await Socket.newServer(path))
  return { server, client: track(await Socket.newClient(path)) }
}

/**
 * Sends until the kernel's queue for the server (11 datagrams) is full and one message is queued
 * here.
 */
async function sendUntilQueued(client: Socket): Promise<Promise<void>[]> {
  const sends: Promise<void>[] = []
  while (client.channel.stats.queued === 0) sends.push(client.send(sends.length))
  return sends
}

describe('Socket.send', () => {
  it('resolves only when the kernel has accepted the message', async () => {
    const { server, client } = await serverAndClient()
    const sends = await sendUntilQueued(client)
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

  it('rejects if the destination closes before that', async () => {
    const { server, client } = await serverAndClient()
    const sends = await sendUntilQueued(client)
    const [last] = await Promise.all([sends.at(-1)?.catch(error => error), server.close()])
    expect(last).toEqual(
      expect.objectContaining({ code: expect.stringMatching(/^ECONN|ENOTCONN/) }),
    )
  })

  it('rejects only the messages to a closed destination', async () => {
    const dir = temporaryDirectory()
    const [fullPath, closingPath] = [join(dir, 'full'), join(dir, 'closing')]
    const full = track(await Socket.newServer(fullPath))
    const closing = track(await Socket.newServer(closingPath))
    const client = track(await Socket.newClient())
    const { channel } = client
    const queueOne = (destination: string) => {
      const sends: Promise<void>[] = []
      const before = channel.stats.queued
      while (channel.stats.queued === before) sends.push(client.send(0, { destination }))
      return sends.at(-1) as Promise<void>
    }
    const [toClosing, toFull] = [queueOne(closingPath), queueOne(fullPath)]
    const outcomeOfFull = toFull.then(
      () => 'sent',
      error => error.code,
    )
    const outcomeOfClosing = toClosing.then(
      () => 'sent',
      error => error.code,
    )
    await closing.close()
    expect(await outcomeOfClosing).toMatch(/^ECONN|ENOENT/)
    for (let i = 0; i < 11; i++) await full.recv()
    expect(await outcomeOfFull).toBe('sent')
    await full.recv()
  })

  it('resolves for one destination while another stays full', { timeout: 5_000 }, async () => {
    const dir = temporaryDirectory()
    const [full, reading] = [join(dir, 'full'), join(dir, 'reading')]
    const servers = [track(await Socket.newServer(full)), track(await Socket.newServer(reading))]
    const client = track(await Socket.newClient())
    const sendUntil = (queued: number, destination: string) => {
      const sends: Promise<void>[] = []
      while (client.channel.stats.queued < queued) sends.push(client.send(0, { destination }))
      return sends.at(-1) as Promise<void>
    }
    const toFull = sendUntil(1, full).catch(() => {})
    const toReading = sendUntil(2, reading)
    const read = (async () => {
      for (let i = 0; i < 12; i++) await servers[1]?.recv()
    })()
    await Promise.all([toReading, read])
    expect(client.channel.stats.queued).toBe(1)
    client.channel.destroy()
    await toFull
  })
})
