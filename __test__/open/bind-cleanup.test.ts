import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { bind, connect } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  nodePeer,
  Peer,
  pythonPeer,
  temporaryDirectory,
  testPath,
} from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const originalDirectory = process.cwd()
afterEach(() => process.chdir(originalDirectory))
const socketPath = () => join(temporaryDirectory(), 's')

describe('the socket file of a channel is removed', () => {
  it('when the channel is closed or destroyed', async () => {
    const path = socketPath()
    await (await bind(path, JSONCOMM)).close()
    expect(existsSync(path)).toBe(false)
    const channel = await bind(path, JSONCOMM)
    channel.destroy()
    expect(existsSync(path)).toBe(false)
    await channel.close()
  })

  it('after chdir if its path is relative', async () => {
    const dir = temporaryDirectory()
    process.chdir(dir)
    const channel = await bind('s', JSONCOMM)
    expect(existsSync(join(dir, 's'))).toBe(true)
    process.chdir('/')
    await channel.close()
    expect(existsSync(join(dir, 's'))).toBe(false)
  })

  it('after a directory above it is renamed', async () => {
    const dir = temporaryDirectory()
    mkdirSync(join(dir, 'a/b'), { recursive: true })
    const channel = await bind(join(dir, 'a/b/s'), JSONCOMM)
    renameSync(join(dir, 'a'), join(dir, 'other'))
    expect(existsSync(join(dir, 'other/b/s'))).toBe(true)
    await channel.close()
    expect(existsSync(join(dir, 'other/b/s'))).toBe(false)
  })

  it('even while another process holds the lock on its directory', async () => {
    const path = socketPath()
    const channel = await bind(path, JSONCOMM)
    const holder = pythonPeer()
    await holder.request({ op: 'lock', path: join(path, '..') })
    await channel.close()
    expect(existsSync(path)).toBe(false)
  })

  it('also if a client has created it as its localAddress', async () => {
    const [server, own] = [socketPath(), socketPath()]
    const channel = await bind(server, JSONCOMM)
    await (await connect(server, { ...JSONCOMM, localAddress: own })).close()
    await channel.close()
    expect(existsSync(own)).toBe(false)
  })

  it.each([
    ['process.exit', 'exit', 7],
    ['an uncaught exception', 'throw', 1],
  ])('at %s', async (_, call, code) => {
    const path = socketPath()
    const child = nodePeer()
    await child.request({ call: 'bind', path })
    expect(existsSync(path)).toBe(true)
    child.send({ call })
    expect(await child.exited).toBe(code)
    expect(existsSync(path)).toBe(false)
  })

  it.each(['terminate', 'exit', 'end'])('when its worker thread ends by %s', async how => {
    const path = socketPath()
    const worker = new Worker(testPath('support/children/worker-bind.mjs'), {
      workerData: { path },
    })
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    expect(existsSync(path)).toBe(true)
    const ended = new Promise(resolve => worker.once('exit', resolve))
    if (how === 'terminate') await worker.terminate()
    else worker.postMessage(how)
    await ended
    expect(existsSync(path)).toBe(false)
  })
})

describe('the socket file of a channel remains', () => {
  it('if a file has replaced it', async () => {
    const path = socketPath()
    const channel = await bind(path, JSONCOMM)
    rmSync(path)
    writeFileSync(path, 'not ours')
    await channel.close()
    expect(existsSync(path)).toBe(true)
  })

  it('if another socket has replaced it', async () => {
    const path = socketPath()
    const channel = await bind(path, JSONCOMM)
    rmSync(path)
    const second = await bind(path, JSONCOMM)
    await channel.close()
    expect(lstatSync(path).isSocket()).toBe(true)
    await second.close()
  })

  it('when the channel is detached, since the socket stays bound', async () => {
    const path = socketPath()
    const channel = await bind(path, JSONCOMM)
    const fd = channel.detach()
    expect(existsSync(path)).toBe(true)
    closeSync(fd)
  })

  it('after SIGKILL, and the next bind replaces it', async () => {
    const path = socketPath()
    const child = nodePeer()
    await child.request({ call: 'bind', path })
    await child.stop('SIGKILL')
    expect(existsSync(path)).toBe(true)
    const channel = await bind(path, JSONCOMM)
    await channel.close()
  })
})

describe('bind of one path by fifty threads at once', () => {
  it.each(['missing', 'stale'])(
    'succeeds in exactly one, which is reachable, if the path is %s',
    { timeout: 60_000 },
    async what => {
      const path = socketPath()
      if (what === 'stale') {
        const dead = nodePeer()
        await dead.request({ call: 'bind', path })
        await dead.stop('SIGKILL')
      }
      const children = Array.from(
        { length: 10 },
        () => new Peer(process.execPath, [testPath('support/children/bind-many.mjs'), path]),
      )
      await Promise.all(children.map(child => child.receive()))
      for (const child of children) child.send({})
      const results = (await Promise.all(children.map(child => child.receive()))).flat()
      expect(results).toHaveLength(50)
      expect(results.filter(result => result === 'bound')).toHaveLength(1)
      expect(results.filter(result => result === 'EADDRINUSE')).toHaveLength(49)
      const client = await connect(path, JSONCOMM)
      expect((await client.request('echo', { timeout: 5_000 })).value).toBe('echo')
      await client.close()
    },
  )
})
