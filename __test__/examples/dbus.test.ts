/** examples/dbus, which implements D-Bus over a `raw` channel, with a real dbus-daemon. */
import { once } from 'node:events'
import { openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { FdSet } from 'fdwire'
import { beforeAll, describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach } from '../support/channels.js'
import { useBus } from '../support/dbus.js'
import { fdTargets } from '../support/descriptors.js'
import { useExample } from '../support/examples.js'
import { canary } from '../support/rights.js'

destroyChannelsAfterEach()

const bus = useBus()
const file = useExample('dbus')

// biome-ignore lint/suspicious/noExplicitAny: an example has no types
let Bus: any
beforeAll(async () => {
  Bus = (await import(file('bus'))).Bus
})

describe('the dbus example', () => {
  it('passes descriptors of the same files between two connections, in both directions', async () => {
    const before = fdTargets().length
    const [client, service] = await Promise.all([Bus.connect(bus.path), Bus.connect(bus.path)])
    expect(client.name).toMatch(/^:1\.\d+$/)
    expect(service.name).not.toBe(client.name)

    service.on('call', async (message: { member: string; body: unknown[]; fds: FdSet }) => {
      const read = await text(message.fds.toReadStream(message.body[1] as number))
      const reply = openSync(join(bus.folder, 'reply'), 'r')
      service.reply(message, {
        signature: 'sh',
        body: [`${message.member}: ${read}`, 0],
        fds: [reply],
      })
      FdSet.from([reply]).close()
    })
    writeFileSync(join(bus.folder, 'request'), 'request content')
    writeFileSync(join(bus.folder, 'reply'), 'reply content')
    const request = openSync(join(bus.folder, 'request'), 'r')
    const { body, fds, sender } = await client.call(service.name, 'Read', {
      interface: 'org.example.Reader',
      signature: 'sh',
      body: ['the file is', 0],
      fds: [request],
    })
    FdSet.from([request]).close()
    expect([sender, body]).toEqual([service.name, ['Read: request content', 0]])
    expect(await text(fds.toReadStream(0))).toBe('reply content')
    await Promise.all([client.close(), service.close()])
    await expect.poll(() => fdTargets().length).toBe(before)
  })

  it('assigns descriptors to the right call when calls arrive in one read', async () => {
    const [client, service] = await Promise.all([Bus.connect(bus.path), Bus.connect(bus.path)])
    service.on('call', async (message: { body: unknown[]; fds: FdSet }) => {
      const streams = [...message.fds].map((_, i) => text(message.fds.toReadStream(i)))
      const read = (await Promise.all(streams)).join()
      service.reply(message, { signature: 's', body: [read] })
    })
    const calls = Array.from({ length: 60 }, async (_, i) => {
      const names = Array.from({ length: i % 4 }, (_, k) => `${i}.${k}`)
      for (const name of names) writeFileSync(join(bus.folder, name), name)
      const fds = names.map(name => openSync(join(bus.folder, name), 'r'))
      const call = client.call(service.name, 'Join', {
        interface: 'org.example.Reader',
        signature: `s${'h'.repeat(fds.length)}`,
        body: ['x'.repeat(i * 50), ...fds.keys()],
        fds,
      })
      FdSet.from(fds).close()
      expect((await call).body).toEqual([names.join()])
    })
    await Promise.all(calls)
    await Promise.all([client.close(), service.close()])
  })

  it('closes the descriptors of an undeliverable call and of one with too many', async () => {
    const [client, service] = await Promise.all([
      Bus.connect(bus.path, { maxFds: 17 }),
      Bus.connect(bus.path),
    ])
    const watched = canary()
    const message = { interface: 'org.example.Reader', signature: 'h', body: [0] }
    const undeliverable = client.call(':1.9999', 'Take', { ...message, fds: [watched.fd] })
    await expect(undeliverable).rejects.toThrow()
    // The raw channel drops the bytes of a refused chunk, so the connection cannot continue.
    const failed = once(service, 'error')
    const fds = Array(17).fill(watched.fd)
    const refused = client.call(service.name, 'Take', { ...message, fds })
    expect((await failed)[0]).toMatchObject({ code: 'ERR_FDWIRE_TOO_MANY_FDS' })
    await expect(refused).rejects.toThrow('NoReply')
    watched.close()
    await watched.released
    await client.close()
  })

  it('rejects a call that the bus answers with an error', async () => {
    const client = await Bus.connect(bus.path)
    await expect(client.call('org.example.Nobody', 'Read')).rejects.toThrow(
      'org.freedesktop.DBus.Error.ServiceUnknown',
    )
    await client.close()
  })
})
