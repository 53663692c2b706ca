/** bind({ fd }): a bound datagram socket that this process was given. */
import { closeSync, existsSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { adopt, bind, connect, type FdSet, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { checkOptions } from '../../lib/options/check.js'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  isOpen,
  JSONCOMM,
  track,
  withFd,
} from '../support/channels.js'
import { cleanUpAfterEach, flagsOf, O_NONBLOCK, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

/** Returns the descriptor of a bound socket, which the test owns. */
const boundFd = async (address: string | null) => (await bind(address, JSONCOMM)).detach()

describe('bind({ fd })', () => {
  it('receives from everybody and answers, with descriptors, without changing the flags', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const fd = await boundFd(path)
    const server = track(await bind({ fd }, JSONCOMM))
    expect([server.fd, server.type, server.localAddress]).toEqual([fd, 'dgram', path])
    expect(flagsOf(fd) & O_NONBLOCK).toBe(0)
    const clients = await Promise.all([1, 2].map(() => connect(path, JSONCOMM)))
    server.on('message', (value, fds: FdSet, from) => {
      server.send({ said: value, fds: fds.length }, { to: from as string, fds })
      fds.close()
    })
    for (const client of clients.map(track)) {
      const { value, fds } = await withFd(one => client.request('hello', { fds: [one] }))
      expect([value, fds.length]).toEqual([{ said: 'hello', fds: 1 }, 1])
      fds.close()
    }
  })

  it('leaves the path when it is closed: it belongs to whoever has bound it', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = await bind({ fd: await boundFd(path) }, JSONCOMM)
    await server.close()
    expect(existsSync(path)).toBe(true)
  })

  it('takes a socket with an abstract name', async () => {
    const server = track(await bind({ fd: await boundFd(null) }, JSONCOMM))
    expect(server.localAddress).toMatch(/^\0/)
    track(await connect(server.localAddress as string, JSONCOMM)).send('there')
    expect((await server.receive())?.value).toBe('there')
  })

  it('refuses what is not a bound Unix datagram socket, and leaves it open', async () => {
    const [unbound, stream] = [pair(JSONCOMM), pair({ protocol: 'raw' })].map(([one, other]) => {
      track(other as never)
      return (one as ReturnType<typeof adopt>).detach()
    }) as [number, number]
    await expect(bind({ fd: unbound }, JSONCOMM)).rejects.toThrow(/without an address.*adopt\(\)/)
    await expect(bind({ fd: unbound }, JSONCOMM)).rejects.toEqual(errorWithCode('WRONG_SOCKET'))
    await expect(bind({ fd: stream }, JSONCOMM)).rejects.toThrow(
      /is a unix-stream: bind for jsoncomm needs a Unix datagram socket/,
    )
    const file = openSync('/dev/null', 'r')
    await expect(bind({ fd: file }, JSONCOMM)).rejects.toEqual(errorWithCode('NOT_A_SOCKET'))
    for (const fd of [unbound, stream, file]) {
      expect(isOpen(fd)).toBe(true)
      closeSync(fd)
    }
    await expect(bind({ fd: file }, JSONCOMM)).rejects.toEqual(errorWithCode('EBADF'))

    const server = createServer().listen(0)
    await new Promise(resolve => server.once('listening', resolve))
    const { fd } = (server as never as { _handle: { fd: number } })._handle
    await expect(bind({ fd }, JSONCOMM)).rejects.toThrow(/is a tcp-listener/)
    await new Promise(resolve => server.close(resolve))
  })

  it('refuses a descriptor that a channel owns, and invalid numbers', async () => {
    const server = track(await bind(null, JSONCOMM))
    await expect(bind({ fd: server.fd }, JSONCOMM)).rejects.toThrow(/belongs to a channel/)
    for (const fd of [-1, 1.5, 2 ** 31]) {
      await expect(bind({ fd }, JSONCOMM)).rejects.toThrow(RangeError)
    }
    await expect(bind({ fd: '3' } as never, JSONCOMM)).rejects.toThrow(TypeError)
    await expect(bind({ fd: 3, path: '/x' } as never, JSONCOMM)).rejects.toThrow(
      'The address has no property path: it has fd',
    )
  })

  it('has no options for the path, and obeys an aborted signal', async () => {
    for (const options of [{ mode: 0o600 }, { unlink: 'always' }] as const) {
      expect(() => checkOptions('bind', { ...JSONCOMM, ...options }, { fd: 3 })).toThrow(
        /the socket that is passed in has its address already/,
      )
    }
    const fd = await boundFd(null)
    const signal = AbortSignal.abort()
    await expect(bind({ fd }, { ...JSONCOMM, signal })).rejects.toThrow('aborted')
    track(adopt(fd, JSONCOMM))
  })
})
