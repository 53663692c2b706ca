/** haproxy passes its listening sockets to another process, and takes those of another process. */

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type Channel, connect, type FdSet, listen, type TcpAddress } from 'fdwire'
import { describe, expect, it, onTestFinished } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory } from '../support/processes.js'
import { whenReady } from '../support/programs.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const RAW = { protocol: 'raw', maxFds: 253 } as const

/** Starts haproxy, which replies to HTTP requests at these addresses with its name. */
function startHaproxy(folder: string, addresses: string[], args: string[] = []): Peer {
  const config = `
global
  stats socket ${join(folder, 'stats')} expose-fd listeners level admin
defaults
  mode http
  timeout client 20s
  timeout connect 20s
  timeout server 20s
frontend web
${addresses.map(address => `  bind ${address}\n`).join('')}
  http-request return status 200 content-type text/plain string haproxy
`
  writeFileSync(join(folder, 'haproxy.cfg'), config)
  return new Peer('haproxy', ['-f', join(folder, 'haproxy.cfg'), '-db', ...args])
}

/** Returns the response of the server at an address. */
async function request(where: { host: string; port: number }) {
  const [response] = await once(get({ ...where, agent: false }), 'response')
  return text(response)
}

/** Returns the bytes and the descriptors of all chunks up to the end of the stream. */
async function readAll(channel: Channel<Buffer>): Promise<[Buffer, FdSet[]]> {
  const chunks: Buffer[] = []
  const sets: FdSet[] = []
  for await (const { value, fds } of channel) {
    chunks.push(value)
    if (fds.length > 0) sets.push(fds)
  }
  return [Buffer.concat(chunks), sets]
}

describe('haproxy', () => {
  it('passes its listening sockets, which serve its clients after it has exited', async () => {
    const folder = temporaryDirectory()
    // An address of its own, so that the port is free.
    const host = `127.${(process.pid >> 16) & 255}.${(process.pid >> 8) & 255}.${process.pid & 255}`
    const web = { host, port: 8_080 }
    const haproxy = startHaproxy(folder, [`${host}:8080`, `unix@${join(folder, 'web')}`])
    const stats = () => connect(join(folder, 'stats'), RAW)
    const channel = track(await whenReady(haproxy, stats))
    expect(await request(web)).toBe('haproxy')

    channel.send('_getsocks\n')
    const [bytes, [fds, ...more]] = await readAll(channel)
    expect(more).toEqual([])
    const kinds = Array.from(fds as FdSet, (_, i) => fds?.kind(i))
    expect([...kinds].sort()).toEqual(['tcp-listener', 'unix-listener', 'unix-listener'])
    // The number of sockets. For each: the lengths of its namespace and interface, and flags.
    expect(bytes).toEqual(Buffer.concat([Buffer.from([3, 0, 0, 0]), Buffer.alloc(3 * 6)]))

    // A client that connects after haproxy has exited waits in the backlog of the listener.
    expect(await haproxy.stop('SIGTERM')).toBe('SIGTERM')
    const response = request(web)
    const server = createServer((_, res) => res.end('fdwire'))
    fds?.toServer(kinds.indexOf('tcp-listener'), { server })
    onTestFinished(async () => {
      await server[Symbol.asyncDispose]()
    })
    expect(await response).toBe('fdwire')
    expect(server.address()).toMatchObject({ address: host, port: 8_080 })
    fds?.close()
  })

  it('serves on a listening socket that a channel passes to it', async () => {
    const folder = temporaryDirectory()
    // Nothing consumes its connections, so this listener accepts none.
    const web = await listen({ host: '127.0.0.1', port: 0 }, { protocol: 'raw' })
    const { host, port } = web.address as TcpAddress

    // With -x, haproxy asks the process at this path for its sockets before it binds.
    const old = await listen(join(folder, 'old'), RAW)
    const haproxy = startHaproxy(folder, [`${host}:${port}`], ['-x', join(folder, 'old')])
    for await (const channel of old) {
      track(channel)
      expect(`${(await channel.receive())?.value}`).toBe('_getsocks\n')
      channel.send(Buffer.from([1, 0, 0, 0]))
      channel.send(Buffer.alloc(6), { fds: [web] })
      await channel.end()
      break
    }
    await old.close()
    // This process still listens on the port, so haproxy could not have bound it.
    await whenReady(haproxy, async () => {
      expect(await request({ host, port })).toBe('haproxy')
    })
    await web.close()
  })
})
