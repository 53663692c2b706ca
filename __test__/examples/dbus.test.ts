/** D-Bus, spoken on `raw` by examples/dbus, with a real dbus-daemon. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { FdSet } from 'fdwire'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
// @ts-expect-error an example has no types
import { Bus } from '../../examples/dbus/bus.mjs'
import { destroyChannelsAfterEach } from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { canary } from '../support/rights.js'

destroyChannelsAfterEach()

/** As a session bus, but nobody is kept from anything. */
const config = (path: string) => `<!DOCTYPE busconfig PUBLIC
  "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
  <limit name="max_message_unix_fds">253</limit>
</busconfig>
`

let folder: string
let path: string
let daemon: ChildProcess
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fdwire-dbus-'))
  path = join(folder, 'bus')
  writeFileSync(join(folder, 'bus.conf'), config(path))
  const args = [`--config-file=${join(folder, 'bus.conf')}`, '--nofork', '--print-address']
  daemon = spawn('dbus-daemon', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const failed = once(daemon, 'error').then(([error]) => {
    throw new Error(`dbus-daemon (Debian's package dbus-daemon) is needed: ${error.message}`)
  })
  await Promise.race([once(daemon.stdout as NodeJS.ReadableStream, 'data'), failed])
})

afterAll(async () => {
  const ended = once(daemon, 'exit')
  daemon.kill()
  await ended
  rmSync(folder, { recursive: true })
})

describe('two connections to a bus', () => {
  it('pass a descriptor, and what can be read through it is what was sent', async () => {
    const before = fdTargets().length
    const [client, service] = await Promise.all([Bus.connect(path), Bus.connect(path)])
    expect(client.name).toMatch(/^:1\.\d+$/)
    expect(service.name).not.toBe(client.name)

    service.on('call', async (message: { member: string; body: unknown[]; fds: FdSet }) => {
      const read = await text(message.fds.toReadStream(message.body[1] as number))
      const answer = openSync(join(folder, 'answer'), 'r')
      service.reply(message, {
        signature: 'sh',
        body: [`${message.member}: ${read}`, 0],
        fds: [answer],
      })
      FdSet.from([answer]).close()
    })
    writeFileSync(join(folder, 'letter'), 'a letter')
    writeFileSync(join(folder, 'answer'), 'an answer')
    const letter = openSync(join(folder, 'letter'), 'r')
    const { body, fds, sender } = await client.call(service.name, 'Read', {
      interface: 'org.example.Reader',
      signature: 'sh',
      body: ['the file is', 0],
      fds: [letter],
    })
    FdSet.from([letter]).close()
    expect([sender, body]).toEqual([service.name, ['Read: a letter', 0]])
    expect(await text(fds.toReadStream(0))).toBe('an answer')
    await Promise.all([client.close(), service.close()])
    await expect.poll(() => fdTargets().length).toBe(before)
  })

  it('keep the descriptors of many calls apart, which come without a border', async () => {
    const [client, service] = await Promise.all([Bus.connect(path), Bus.connect(path)])
    service.on('call', async (message: { body: unknown[]; fds: FdSet }) => {
      const streams = [...message.fds].map((_, i) => text(message.fds.toReadStream(i)))
      const read = (await Promise.all(streams)).join()
      service.reply(message, { signature: 's', body: [read] })
    })
    const calls = Array.from({ length: 60 }, async (_, i) => {
      const names = Array.from({ length: i % 4 }, (_, k) => `${i}.${k}`)
      for (const name of names) writeFileSync(join(folder, name), name)
      const fds = names.map(name => openSync(join(folder, name), 'r'))
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

  it('leave none open that nobody takes, or that are more than is allowed', async () => {
    const [client, service] = await Promise.all([
      Bus.connect(path, { maxFds: 17 }),
      Bus.connect(path),
    ])
    const watched = canary()
    const message = { interface: 'org.example.Reader', signature: 'h', body: [0] }
    const nobody = client.call(':1.9999', 'Take', { ...message, fds: [watched.fd] })
    await expect(nobody).rejects.toThrow()
    // The bytes of what is refused are lost, and a parser can't go on behind that.
    const failed = once(service, 'error')
    const fds = Array(17).fill(watched.fd)
    const late = client.call(service.name, 'Take', { ...message, fds })
    expect((await failed)[0]).toMatchObject({ code: 'ERR_FDWIRE_TOO_MANY_FDS' })
    await expect(late).rejects.toThrow('NoReply')
    watched.close()
    await watched.released
    await client.close()
  })

  it('hear of an error', async () => {
    const client = await Bus.connect(path)
    await expect(client.call('org.example.Nobody', 'Read')).rejects.toThrow(
      'org.freedesktop.DBus.Error.ServiceUnknown',
    )
    await client.close()
  })
})
