import { closeSync, existsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bind, type Channel, connect, listen } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import { abstractName, afterTest, LINES, runCleanupsAfterEach } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const SEQPACKET = { protocol: 'jsoncomm', type: 'seqpacket' } as const

describe.each([
  ['stream', LINES],
  ['seqpacket', SEQPACKET],
  ['dgram', JSONCOMM],
])('a path as localAddress of connect over %s', (type, options) => {
  const own = () => join(temporaryDirectory(), 'client')

  /** Returns a function that connects to a server. */
  async function server() {
    const address = join(temporaryDirectory(), 'server')
    if (type === 'dgram') track((await bind(address, JSONCOMM)) as Channel)
    else {
      const listener = await listen(address, options)
      afterTest(() => listener.close())
    }
    return async (more: object) =>
      track((await connect(address, { ...options, ...more })) as Channel)
  }

  it('has exactly its mode under any umask, and is removed by close', async () => {
    const dial = await server()
    for (const [mode, permissions] of [
      [undefined, 0o600],
      [0o666, 0o666],
    ]) {
      const localAddress = own()
      const before = process.umask(0o022)
      const client = await dial({ localAddress, mode }).finally(() => process.umask(before))
      expect(statSync(localAddress).mode & 0o777).toBe(permissions)
      expect(client.localAddress).toBe(localAddress)
      await client.close()
      expect(existsSync(localAddress)).toBe(false)
    }
  })

  it('is removed by destroy, and is left to the new owner by detach', async () => {
    const dial = await server()
    const [first, second] = [own(), own()]
    const destroyed = await dial({ localAddress: first })
    destroyed.destroy()
    expect(existsSync(first)).toBe(false)
    const detached = await dial({ localAddress: second })
    const fd = detached.detach()
    expect(existsSync(second)).toBe(true)
    const { FdSet } = await import('fdwire')
    FdSet.from([fd]).close()
  })

  it('replaces a stale socket, but not a live one or another file', async () => {
    const dial = await server()
    const localAddress = own()
    const stale = await dial({ localAddress })
    closeSync(stale.detach())
    await expect(dial({ localAddress, unlink: false })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      path: localAddress,
    })
    const live = await dial({ localAddress })
    await expect(dial({ localAddress })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      syscall: 'bind',
      path: localAddress,
    })
    expect(existsSync(localAddress)).toBe(true)
    await live.close()
    writeFileSync(localAddress, '')
    await expect(dial({ localAddress })).rejects.toMatchObject({
      code: 'EEXIST',
      path: localAddress,
    })
  })

  it('is removed if connecting fails', async () => {
    const localAddress = own()
    const refused = connect(abstractName(), { ...options, localAddress })
    await expect(refused).rejects.toEqual(errorWithCode('ECONNREFUSED'))
    expect(existsSync(localAddress)).toBe(false)
  })
})
