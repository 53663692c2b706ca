import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type BindOptions, bind, type Channel, connect } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, nodePeer, pythonPeer, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const NOBODY = 65_534
const open: Channel[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(channel => channel.close()))
})

async function bound(path: string, options: Partial<BindOptions<'jsoncomm'>> = {}) {
  const channel = await bind(path, { ...JSONCOMM, ...options })
  open.push(channel)
  return channel
}

const failing = (code: string, more = {}) => expect.objectContaining({ code, ...more })
const permissions = (path: string) => lstatSync(path).mode & 0o7777
const place = () => join(temporaryDirectory(), 's')

/** Whether whoever has the path gets what is sent there. */
async function reaches(path: string, channel: Channel): Promise<boolean> {
  const client = await connect(path, JSONCOMM)
  client.send('are you there?')
  await client.close()
  return (await channel.receive({ timeout: 5_000 }))?.value === 'are you there?'
}

/** A socket at a path that nobody has open any more. */
async function leaveStale(path: string): Promise<void> {
  const peer = pythonPeer()
  await peer.request({ op: 'open', bind: Buffer.from(path).toString('hex') })
  await peer.stop()
}

describe("a path's permissions are what was asked for, whatever the umask", () => {
  it.each([0o000, 0o022, 0o077, 0o777])('umask %o', async umask => {
    const child = nodePeer({ umask })
    const dir = temporaryDirectory()
    for (const mode of [undefined, 0o000, 0o600, 0o660, 0o777]) {
      const path = join(dir, `${mode}`)
      const answer = await child.request({ call: 'bind', path, options: { mode } })
      expect(answer).toEqual({ mode: mode ?? 0o600 })
    }
  })

  it('is 0600 for a name that a client gives itself, too', async () => {
    const dir = temporaryDirectory()
    await bound(join(dir, 's'))
    const own = join(dir, 'own')
    const client = await connect(join(dir, 's'), { ...JSONCOMM, localAddress: own })
    open.push(client)
    expect(permissions(own)).toBe(0o600)
  })
})

describe('a path that is taken', () => {
  it('by a living socket is EADDRINUSE, and the socket stays reachable', async () => {
    const path = place()
    const first = await bound(path)
    for (const unlink of [undefined, 'stale', false] as const) {
      await expect(bind(path, { ...JSONCOMM, unlink })).rejects.toEqual(
        failing('EADDRINUSE', { syscall: 'bind', path, message: `bind EADDRINUSE ${path}` }),
      )
    }
    expect(await reaches(path, first)).toBe(true)
  })

  it('by a living server of streams is EADDRINUSE', async () => {
    const path = place()
    const server = createServer().listen(path)
    await new Promise(resolve => server.once('listening', resolve))
    await expect(bind(path, JSONCOMM)).rejects.toEqual(failing('EADDRINUSE'))
    expect(existsSync(path)).toBe(true)
    await new Promise(resolve => server.close(resolve))
  })

  it('by a socket that is connected to somebody else is EADDRINUSE', async () => {
    const [path, other] = [place(), place()]
    await bound(other)
    const peer = pythonPeer()
    const hex = (name: string) => Buffer.from(name).toString('hex')
    await peer.request({ op: 'open', bind: hex(path), connect: hex(other) })
    await expect(bind(path, JSONCOMM)).rejects.toEqual(failing('EADDRINUSE'))
  })

  it.each([
    ['dgram', {}],
    ['stream', { kind: 'SOCK_STREAM', listen: true }],
    ['seqpacket', { kind: 'SOCK_SEQPACKET', listen: true }],
  ])('by a dead %s socket is free, unless unlink is false', async (_, how) => {
    const path = place()
    const peer = pythonPeer()
    await peer.request({ op: 'open', bind: Buffer.from(path).toString('hex'), ...how })
    await peer.stop()
    await expect(bind(path, { ...JSONCOMM, unlink: false })).rejects.toEqual(failing('EADDRINUSE'))
    expect(await reaches(path, await bound(path))).toBe(true)
  })

  it("by a living socket is free with unlink 'always', and the robbed one removes nothing", async () => {
    const path = place()
    const first = await bind(path, JSONCOMM)
    const second = await bound(path, { unlink: 'always' })
    await first.close()
    expect(await reaches(path, second)).toBe(true)
  })

  it.each([undefined, 'always', false] as const)(
    'by what is no socket is EEXIST, and stays: unlink %s',
    async unlink => {
      const dir = temporaryDirectory()
      const [file, folder, link] = [join(dir, 'file'), join(dir, 'folder'), join(dir, 'link')]
      writeFileSync(file, 'precious')
      mkdirSync(folder)
      await bound(join(dir, 's'))
      symlinkSync('s', link)
      for (const path of [file, folder, link]) {
        await expect(bind(path, { ...JSONCOMM, unlink })).rejects.toEqual(
          failing('EEXIST', { path }),
        )
      }
      expect(readFileSync(file, 'utf8')).toBe('precious')
      expect(lstatSync(link).isSymbolicLink()).toBe(true)
    },
  )
})

describe('a path that cannot be', () => {
  it('in a directory that is not there: ENOENT, ENOTDIR', async () => {
    const dir = temporaryDirectory()
    const missing = join(dir, 'missing', 's')
    await expect(bind(missing, JSONCOMM)).rejects.toEqual(failing('ENOENT', { path: missing }))
    writeFileSync(join(dir, 'file'), '')
    await expect(bind(join(dir, 'file', 's'), JSONCOMM)).rejects.toEqual(failing('ENOTDIR'))
    await expect(bind(`${dir}/`, JSONCOMM)).rejects.toEqual(failing('EEXIST'))
  })

  it('in a directory that is not ours to write: EACCES, and what is there stays', async () => {
    const dir = temporaryDirectory()
    const child = nodePeer({ uid: NOBODY })
    const path = join(dir, 's')
    const refused = { error: { code: 'EACCES', name: 'Error', message: expect.any(String) } }
    expect(await child.request({ call: 'bind', path })).toEqual(refused)
    await leaveStale(path)
    const { error } = await child.request({ call: 'bind', path, options: { unlink: 'always' } })
    expect(['EACCES', 'EADDRINUSE']).toContain(error.code)
    expect(lstatSync(path).isSocket()).toBe(true)
  })
})

describe('while somebody else holds the lock on the directory', () => {
  async function locked() {
    const path = place()
    const holder = pythonPeer()
    await holder.request({ op: 'lock', path: join(path, '..') })
    return { path, holder }
  }

  it('bind waits, and then has the path', async () => {
    const { path, holder } = await locked()
    const binding = bound(path)
    let early = true
    binding.then(() => expect(early).toBe(false))
    // A bind in another directory, and a turn of the loop, don't wait.
    await bound(place())
    expect(existsSync(path)).toBe(false)
    early = false
    await holder.request({ op: 'unlock' })
    expect(await reaches(path, await binding)).toBe(true)
  })

  it('bind gives up after timeout, and says why', async () => {
    const { path } = await locked()
    await expect(bind(path, { ...JSONCOMM, timeout: 30 })).rejects.toEqual(
      failing('ERR_FDWIRE_TIMEOUT', {
        message: `bind: others kept the lock on the directory of ${path}: it was not to be had within 30 ms`,
      }),
    )
    expect(existsSync(path)).toBe(false)
  })

  it('bind gives up when the signal is aborted', async () => {
    const { path } = await locked()
    const abort = new AbortController()
    const binding = bind(path, { ...JSONCOMM, timeout: 0, signal: abort.signal })
    abort.abort('enough')
    const aborted = expect.objectContaining({ name: 'AbortError', cause: 'enough' })
    await expect(binding).rejects.toEqual(aborted)
    await expect(bind(path, { ...JSONCOMM, signal: abort.signal })).rejects.toEqual(aborted)
    expect(existsSync(path)).toBe(false)
  })
})
