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
const home = process.cwd()
afterEach(() => process.chdir(home))
const place = () => join(temporaryDirectory(), 's')

describe('a path goes with its channel', () => {
  it('when that is closed or destroyed', async () => {
    const path = place()
    await (await bind(path, JSONCOMM)).close()
    expect(existsSync(path)).toBe(false)
    const channel = await bind(path, JSONCOMM)
    channel.destroy()
    expect(existsSync(path)).toBe(false)
    await channel.close()
  })

  it('after chdir, though it is relative', async () => {
    const dir = temporaryDirectory()
    process.chdir(dir)
    const channel = await bind('s', JSONCOMM)
    expect(existsSync(join(dir, 's'))).toBe(true)
    process.chdir('/')
    await channel.close()
    expect(existsSync(join(dir, 's'))).toBe(false)
  })

  it('after a directory above it got another name', async () => {
    const dir = temporaryDirectory()
    mkdirSync(join(dir, 'a/b'), { recursive: true })
    const channel = await bind(join(dir, 'a/b/s'), JSONCOMM)
    renameSync(join(dir, 'a'), join(dir, 'other'))
    expect(existsSync(join(dir, 'other/b/s'))).toBe(true)
    await channel.close()
    expect(existsSync(join(dir, 'other/b/s'))).toBe(false)
  })

  it('though another has the lock on its directory', async () => {
    const path = place()
    const channel = await bind(path, JSONCOMM)
    const holder = pythonPeer()
    await holder.request({ op: 'lock', path: join(path, '..') })
    await channel.close()
    expect(existsSync(path)).toBe(false)
  })

  it('also where a client gave it to itself', async () => {
    const [server, own] = [place(), place()]
    const channel = await bind(server, JSONCOMM)
    await (await connect(server, { ...JSONCOMM, localAddress: own })).close()
    await channel.close()
    expect(existsSync(own)).toBe(false)
  })

  it.each([
    ['process.exit', 'exit', 7],
    ['an uncaught exception', 'throw', 1],
  ])('at %s', async (_, call, code) => {
    const path = place()
    const child = nodePeer()
    await child.request({ call: 'bind', path })
    expect(existsSync(path)).toBe(true)
    child.send({ call })
    expect(await child.exited).toBe(code)
    expect(existsSync(path)).toBe(false)
  })

  it.each(['terminate', 'exit', 'end'])('at the end of its worker: %s', async how => {
    const path = place()
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

describe('a path stays', () => {
  it('when something else was put in its place', async () => {
    const path = place()
    const channel = await bind(path, JSONCOMM)
    rmSync(path)
    writeFileSync(path, 'not ours')
    await channel.close()
    expect(existsSync(path)).toBe(true)
  })

  it('when another socket was put in its place', async () => {
    const path = place()
    const channel = await bind(path, JSONCOMM)
    rmSync(path)
    const second = await bind(path, JSONCOMM)
    await channel.close()
    expect(lstatSync(path).isSocket()).toBe(true)
    await second.close()
  })

  it('when the channel is detached: it goes with the socket to whoever gets that', async () => {
    const path = place()
    const channel = await bind(path, JSONCOMM)
    const fd = channel.detach()
    expect(existsSync(path)).toBe(true)
    closeSync(fd)
  })

  it('after kill -9, and is then stale', async () => {
    const path = place()
    const child = nodePeer()
    await child.request({ call: 'bind', path })
    await child.stop('SIGKILL')
    expect(existsSync(path)).toBe(true)
    const channel = await bind(path, JSONCOMM)
    await channel.close()
  })
})

describe('of fifty that start at once on a stale path one has it, and is reachable', () => {
  it.each(['missing', 'stale'])(
    '%s: ten processes of five threads',
    { timeout: 60_000 },
    async what => {
      const path = place()
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
      expect((await client.request('who?', { timeout: 5_000 })).value).toBe('who?')
      await client.close()
    },
  )
})
