/** The npm package dbus-native over toDuplex, through a real dbus-daemon. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readSync } from 'node:fs'
import dbus, { type Message, type MessageBus } from 'dbus-native'
import { type ChannelStream, connect, createMemfd, mapMemfd, toDuplex } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, isOpen, track } from '../support/channels.js'
import { useBus } from '../support/dbus.js'
import { fdTargets } from '../support/descriptors.js'
import { canary } from '../support/rights.js'

destroyChannelsAfterEach()
const bus = useBus()

const NAME = 'org.example.Files'

/** Connects dbus-native to the bus over a channel. */
async function openClient(maxFds = 16) {
  const channel = track(await connect(bus.path, { protocol: 'raw', maxFds }))
  const client = dbus.createClient({ stream: toDuplex(channel) })
  // The bus has given the client its name: the handshake is complete.
  await client.getId()
  return { client, channel }
}

/** Returns the stream that was passed to dbus-native. */
function streamOf(client: MessageBus): ChannelStream {
  return client.connection.stream as ChannelStream
}

/** Returns a call of the service that `openService` exports. */
function callOf(service: MessageBus, member: string, more: Partial<Message> = {}): Message {
  const destination = service.name as string
  return { destination, path: '/', interface: NAME, member, ...more }
}

/** Calls a method. Resolves to the body of the reply, and to its descriptors. */
function call(client: MessageBus, message: Message): Promise<{ body: unknown[]; fds: number[] }> {
  return new Promise((resolve, reject) => {
    client.invoke(message, function (
      this: { message: Message },
      error: unknown,
      ...body: unknown[]
    ) {
      if (error) reject(error)
      else resolve({ body, fds: this.message.fds ?? [] })
    } as never)
  })
}

/** Exports `Echo`: replies with the descriptors and the bytes of the call, in reverse. */
function exportEcho(service: MessageBus, signature: string): void {
  const handler = (...args: unknown[]) => {
    const message = args.pop() as Message
    const fds = [...(message.fds ?? [])].reverse()
    service.connection.message({
      type: dbus.messageType.methodReturn,
      serial: service.serial++,
      replySerial: message.serial as number,
      destination: message.sender as string,
      signature,
      body: args,
      fds,
    })
    streamOf(service).closeFds?.(fds)
    // The package itself replies when the promise resolves, and without descriptors.
    return new Promise(() => {})
  }
  service.setMethodCallHandler('/', NAME, 'Echo', [handler, signature] as never)
}

describe('dbus-native over a channel', () => {
  it('negotiates descriptors exactly if the channel passes them', async () => {
    for (const [maxFds, passes] of [
      [16, true],
      [0, false],
    ] as const) {
      const { client } = await openClient(maxFds)
      const { canPassFds, unixFdsAgreed } = client.connection as never as Record<string, boolean>
      expect([canPassFds, unixFdsAgreed]).toEqual([passes, passes])
      expect(client.name).toMatch(/^:1\.\d+$/)
      await client.close()
    }
  })

  it('passes descriptors in both directions, each with its own message', async () => {
    const before = fdTargets().length
    const [{ client }, { client: service }] = await Promise.all([openClient(), openClient()])
    exportEcho(service, 'ayhh')
    const calls = Array.from({ length: 40 }, async (_, i) => {
      const bytes = randomBytes(i * 1_000)
      const memfds = [`${i}.0`, `${i}.1`].map(text => createMemfd(text))
      const fds = memfds.map(memfd => memfd.get(0))
      const message = callOf(service, 'Echo', { signature: 'ayhh', body: [bytes, 0, 1], fds })
      const reply = call(client, message)
      for (const memfd of memfds) memfd.close()
      const { body, fds: received } = await reply
      expect(Buffer.compare(Buffer.from(body[0] as Buffer), bytes)).toBe(0)
      expect(received.map(fd => mapMemfd(fd).toString())).toEqual([`${i}.1`, `${i}.0`])
      streamOf(client).closeFds?.(received)
    })
    await Promise.all(calls)
    await Promise.all([client.close(), service.close()])
    await expect.poll(() => fdTargets().length).toBe(before)
  })

  it('receives numbers that are ordinary descriptors of the program', async () => {
    const [{ client }, { client: service }] = await Promise.all([openClient(), openClient()])
    exportEcho(service, 'h')
    using memfd = createMemfd('content')
    const fds = [memfd.get(0)]
    const reply = await call(client, callOf(service, 'Echo', { signature: 'h', body: [0], fds }))
    const [fd] = reply.fds as [number]
    const bytes = Buffer.alloc(7)
    readSync(fd, bytes, 0, 7, 0)
    expect(bytes.toString()).toBe('content')
    streamOf(client).closeFds?.(reply.fds)
    expect(isOpen(fd)).toBe(false)
  })

  it('carries calls of many sizes without descriptors', async () => {
    const [{ client }, { client: service }] = await Promise.all([openClient(0), openClient(0)])
    service.setMethodCallHandler('/', NAME, 'Twice', [(text: string) => text + text, 's'] as never)
    const lengths = [0, 1, 100, 65_536, 1_000_000, 10_000_000]
    const replies = lengths.map(length =>
      client.invoke(callOf(service, 'Twice', { signature: 's', body: ['x'.repeat(length)] })),
    )
    const texts = (await Promise.all(replies)) as string[]
    expect(texts.map(text => text.length)).toEqual(lengths.map(length => length * 2))
  })

  it('closes descriptors that no message has claimed, and those of an undeliverable call', async () => {
    const { client } = await openClient()
    const watched = canary()
    const message = { destination: ':1.99999', path: '/', interface: NAME, member: 'Take' }
    const undeliverable = { ...message, signature: 'h', body: [0], fds: [watched.fd] }
    await expect(client.invoke(undeliverable)).rejects.toThrow('The name :1.99999 was not provided')
    // As they would after half a message: the package closes them when the connection closes.
    streamOf(client).emit('fds', [createMemfd('unclaimed').take(0)])
    const closed = once(client.connection, 'close')
    await client.close()
    await closed
    watched.close()
    await watched.released
  })

  it('fails its pending calls when the bus closes the connection', async () => {
    const { client, channel } = await openClient()
    const pending = client.invoke(callOf(client, 'Nothing', { destination: NAME }), { timeout: 0 })
    channel.destroy()
    await expect(pending).rejects.toThrow()
  })
})
