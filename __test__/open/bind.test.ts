import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type BindOptions, bind, type Channel, connect, listen } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { cleanUpAfterEach, nodePeer, pythonPeer, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const UNPRIVILEGED_UID = 65_534
const channels: Channel[] = []
afterEach(async () => {
  await Promise.all(channels.splice(0).map(channel => channel.close()))
})

async function boundChannel(path: string, options: Partial<BindOptions<'jsoncomm'>> = {}) {
  const channel = await bind(path, { ...JSONCOMM, ...options })
  channels.push(channel)
  return channel
}

const errorWith = (code: string, more = {}) => expect.objectContaining({ code, ...more })
const permissions = (path: string) => lstatSync(path).mode & 0o7777
const socketPath = () => join(temporaryDirectory(), 's')

/** Returns whether `channel` receives what is sent to the path. */
async function reaches(path: string, channel: Channel): Promise<boolean> {
  const client = await connect(path, JSONCOMM)
  client.send('probe')
  await client.close()
  return (await channel.receive({ timeout: 5_000 }))?.value === 'probe'
}

/** Leaves a stale socket at a path: its process has ended. */
async function leaveStale(path: string): Promise<void> {
  const peer = pythonPeer()
  await peer.request({ op: 'open', bind: Buffer.from(path).toString('hex') })
  await peer.stop()
}

describe('the permissions of a socket file', () => {
  it.each([0o000, 0o022, 0o077, 0o777])(
    'are those of the option mode under umask %o',
    async umask => {
      const child = nodePeer({ umask })
      const dir = temporaryDirectory()
      for (const mode of [undefined, 0o000, 0o600, 0o660, 0o777]) {
        const path = join(dir, `${mode}`)
        const reply = await child.request({ call: 'bind', path, options: { mode } })
        expect(reply).toEqual({ mode: mode ?? 0o600 })
      }
    },
  )

  it('are 0600 by default for the localAddress of a client', async () => {
    const dir = temporaryDirectory()
    await boundChannel(join(dir, 's'))
    const own = join(dir, 'own')
    const client = await connect(join(dir, 's'), { ...JSONCOMM, localAddress: own })
    channels.push(client)
    expect(permissions(own)).toBe(0o600)
  })
})

describe('bind to an existing path', () => {
  it('fails with EADDRINUSE if a live socket is bound to it, and that socket stays reachable', async () => {
    const path = socketPath()
    const first = await boundChannel(path)
    for (const unlink of [undefined, 'stale', false] as const) {
      const hint =
        unlink === false
          ? 'a socket has this path, and unlink is false'
          : 'a process has a socket open at this path'
      const message = `bind EADDRINUSE ${path}: ${hint}`
      await expect(bind(path, { ...JSONCOMM, unlink })).rejects.toEqual(
        errorWith('EADDRINUSE', { syscall: 'bind', path, message }),
      )
    }
    expect(await reaches(path, first)).toBe(true)
  })

  it('fails with EADDRINUSE if a stream server listens there', async () => {
    const path = socketPath()
    const server = createServer().listen(path)
    await new Promise(resolve => server.once('listening', resolve))
    await expect(bind(path, JSONCOMM)).rejects.toEqual(errorWith('EADDRINUSE'))
    expect(existsSync(path)).toBe(true)
    await new Promise(resolve => server.close(resolve))
  })

  it('fails with EADDRINUSE if a socket that is connected to another address is bound to it', async () => {
    const [path, other] = [socketPath(), socketPath()]
    await boundChannel(other)
    const peer = pythonPeer()
    const hex = (name: string) => Buffer.from(name).toString('hex')
    await peer.request({ op: 'open', bind: hex(path), connect: hex(other) })
    await expect(bind(path, JSONCOMM)).rejects.toEqual(errorWith('EADDRINUSE'))
  })

  it.each([
    ['dgram', {}],
    ['stream', { kind: 'SOCK_STREAM', listen: true }],
    ['seqpacket', { kind: 'SOCK_SEQPACKET', listen: true }],
  ])('replaces a stale %s socket unless unlink is false', async (_, how) => {
    const path = socketPath()
    const peer = pythonPeer()
    await peer.request({ op: 'open', bind: Buffer.from(path).toString('hex'), ...how })
    await peer.stop()
    await expect(bind(path, { ...JSONCOMM, unlink: false })).rejects.toEqual(
      errorWith('EADDRINUSE'),
    )
    expect(await reaches(path, await boundChannel(path))).toBe(true)
  })

  it("replaces a live socket with unlink 'always', and the previous owner does not unlink the new one", async () => {
    const path = socketPath()
    const first = await bind(path, JSONCOMM)
    const second = await boundChannel(path, { unlink: 'always' })
    await first.close()
    expect(await reaches(path, second)).toBe(true)
  })

  it.each([undefined, 'always', false] as const)(
    'fails with EEXIST if it is not a socket, and does not remove it, with unlink %s',
    async unlink => {
      const dir = temporaryDirectory()
      const [file, folder, link] = [join(dir, 'file'), join(dir, 'folder'), join(dir, 'link')]
      writeFileSync(file, 'precious')
      mkdirSync(folder)
      await boundChannel(join(dir, 's'))
      symlinkSync('s', link)
      for (const path of [file, folder, link]) {
        const message = `bind EEXIST ${path}: the path exists and is not a socket`
        await expect(bind(path, { ...JSONCOMM, unlink })).rejects.toEqual(
          errorWith('EEXIST', { path, message }),
        )
      }
      expect(readFileSync(file, 'utf8')).toBe('precious')
      expect(lstatSync(link).isSymbolicLink()).toBe(true)
    },
  )
})

describe('bind in an unsuitable directory', () => {
  it('fails with ENOENT, ENOTDIR or EEXIST if the path has no parent directory or no name', async () => {
    const dir = temporaryDirectory()
    const missing = join(dir, 'missing', 's')
    const message = `open ENOENT ${missing}: the directory ${join(dir, 'missing')} does not exist`
    await expect(bind(missing, JSONCOMM)).rejects.toEqual(
      errorWith('ENOENT', { path: missing, syscall: 'open', message }),
    )
    writeFileSync(join(dir, 'file'), '')
    await expect(bind(join(dir, 'file', 's'), JSONCOMM)).rejects.toEqual(errorWith('ENOTDIR'))
    await expect(bind(`${dir}/`, JSONCOMM)).rejects.toEqual(errorWith('EEXIST'))
  })

  it('fails with EACCES if it is not writable, and leaves a stale socket there', async () => {
    const dir = temporaryDirectory()
    const child = nodePeer({ uid: UNPRIVILEGED_UID })
    const path = join(dir, 's')
    const refused = { error: { code: 'EACCES', name: 'Error', message: expect.any(String) } }
    expect(await child.request({ call: 'bind', path })).toEqual(refused)
    await leaveStale(path)
    const { error } = await child.request({ call: 'bind', path, options: { unlink: 'always' } })
    expect(['EACCES', 'EADDRINUSE']).toContain(error.code)
    expect(lstatSync(path).isSocket()).toBe(true)
  })
})

describe('bind while another process locks the directory', () => {
  async function lockDirectory() {
    const path = socketPath()
    await leaveStale(path)
    const holder = pythonPeer()
    await holder.request({ op: 'lock', path: join(path, '..') })
    return { path, holder }
  }

  it('waits until the lock is released before it replaces a stale socket', async () => {
    const { path, holder } = await lockDirectory()
    const { ino } = lstatSync(path)
    const binding = boundChannel(path)
    let locked = true
    binding.then(() => expect(locked).toBe(false))
    // A bind in another directory does not wait for the lock.
    await boundChannel(socketPath())
    expect(lstatSync(path).ino).toBe(ino)
    locked = false
    await holder.request({ op: 'unlock' })
    expect(await reaches(path, await binding)).toBe(true)
  })

  it('fails at its timeout and names the lock', async () => {
    const { path } = await lockDirectory()
    await expect(bind(path, { ...JSONCOMM, timeout: 30 })).rejects.toEqual(
      errorWith('ERR_FDWIRE_TIMEOUT', {
        message: `bind: the lock on the directory of ${path} was not free within 30 ms`,
      }),
    )
    expect(lstatSync(path).isSocket()).toBe(true)
  })

  it('rejects with an AbortError when its signal is aborted', async () => {
    const { path } = await lockDirectory()
    const abort = new AbortController()
    const binding = bind(path, { ...JSONCOMM, timeout: 0, signal: abort.signal })
    abort.abort('enough')
    const aborted = expect.objectContaining({ name: 'AbortError', cause: 'enough' })
    await expect(binding).rejects.toEqual(aborted)
    await expect(bind(path, { ...JSONCOMM, signal: abort.signal })).rejects.toEqual(aborted)
    expect(lstatSync(path).isSocket()).toBe(true)
  })

  it.each(['stale', 'always', false] as const)(
    'does not wait to bind a free path, with unlink %s',
    async unlink => {
      const { path: locked } = await lockDirectory()
      const path = join(locked, '..', 'free')
      expect(await reaches(path, await boundChannel(path, { unlink }))).toBe(true)
    },
  )

  it('does not wait to listen on a free path', async () => {
    const { path: locked } = await lockDirectory()
    const path = join(locked, '..', 'free')
    const listener = await listen(path, { protocol: 'lines' })
    const client = await connect(path, { protocol: 'lines' })
    await client.close()
    await listener.close()
    expect(existsSync(path)).toBe(false)
  })

  it('does not wait if unlink is false', async () => {
    const { path } = await lockDirectory()
    await expect(bind(path, { ...JSONCOMM, unlink: false })).rejects.toEqual(
      errorWith('EADDRINUSE'),
    )
  })
})
