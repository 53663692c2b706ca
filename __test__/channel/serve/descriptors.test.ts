import { closeSync, openSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { connect, type FdSet, listen, pair, Reply } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  isOpen,
  loopTurns,
  receivedFdSet,
  track,
  withFd,
} from '../../support/channels.js'
import { deferred } from '../../support/deferred.js'

destroyChannelsAfterEach()

/** A device that no other test of this file has open. */
const DEVICE = '/dev/full'

function connected(options: object = {}) {
  const [client, server] = pair({ protocol: 'jsoncomm', type: 'seqpacket', ...options })
  return [track(client), track(server)] as const
}

/** Sends a request with `count` descriptors of the device. */
function requestWithFds(client: ReturnType<typeof connected>[0], value: unknown, count = 1) {
  const fd = openSync(DEVICE, 'r')
  const reply = client.request(value, { fds: Array.from({ length: count }, () => fd) })
  closeSync(fd)
  return reply
}

const noneOpen = () => expect.poll(() => countOpen(DEVICE)).toBe(0)

describe('the descriptors of a request', () => {
  it('are closed when the handler returns, and when its promise settles', async () => {
    const [client, server] = connected()
    const gate = deferred()
    const opened: number[] = []
    void server.serve(async (value, fds) => {
      if (value === 'later') await gate.promise
      opened.push(fds.length, countOpen(DEVICE))
      return value
    })
    const first = await requestWithFds(client, 'soon', 2)
    expect([first.value, opened]).toEqual(['soon', [2, 2]])
    await noneOpen()
    const second = requestWithFds(client, 'later')
    await expect.poll(() => server.stats.handlers).toBe(1)
    await loopTurns(3)
    expect(server.stats.openFds).toBe(1)
    gate.resolve()
    await second
    await noneOpen()
    expect(server.stats.openFds).toBe(0)
  })

  it('stay open if the handler takes them', async () => {
    const [client, server] = connected()
    const taken: number[] = []
    void server.serve((_, fds) => {
      taken.push(fds.take(0))
      return taken.length
    })
    await requestWithFds(client, 'take one of two', 2)
    await expect.poll(() => countOpen(DEVICE)).toBe(1)
    closeSync(taken[0] as number)
  })

  it('are closed if the handler throws or rejects', async () => {
    for (const handler of [
      () => {
        throw new Error('no')
      },
      () => Promise.reject(new Error('no')),
    ]) {
      const [client, server] = connected()
      void server.serve(handler, { onError: () => 'failed' })
      expect((await requestWithFds(client, 1)).value).toBe('failed')
      await noneOpen()
    }
  })

  it('are closed if the channel ends while the handler runs', async () => {
    const [client, server] = connected()
    const gate = deferred()
    void server.serve(() => gate.promise)
    const request = requestWithFds(client, 1).catch(error => error)
    await expect.poll(() => server.stats.handlers).toBe(1)
    await server.close()
    await request
    gate.resolve()
    await noneOpen()
  })
})

describe('the descriptors of a reply', () => {
  it.each(['sync', 'async'])('are closed when it is sent: numbers (%s)', async when => {
    const [client, server] = connected()
    let fd = -1
    void server.serve(() => {
      fd = openSync(DEVICE, 'r')
      const reply = new Reply('number', { fds: [fd, fd] })
      return when === 'sync' ? reply : Promise.resolve(reply)
    })
    const { value, fds } = await client.request(1)
    expect([value, fds.length, fds.kind(1)]).toEqual(['number', 2, 'chardev'])
    fds.close()
    await noneOpen()
  })

  it("are closed by the FileHandle's own close()", async () => {
    const [client, server] = connected()
    const handles: FileHandle[] = []
    void server.serve(async () => {
      const handle = await open(DEVICE)
      handles.push(handle)
      return new Reply('file', { fds: [handle, handle] })
    })
    const { fds } = await client.request(1)
    expect(fds.length).toBe(2)
    fds.close()
    // After its own close() a FileHandle knows that it has no descriptor.
    await expect.poll(() => handles[0]?.fd).toBe(-1)
    await noneOpen()
  })

  it('are closed with their FdSet', async () => {
    const [client, server] = connected()
    const sets: FdSet[] = []
    void server.serve(async () => {
      const set = await withFd(fd => receivedFdSet(fd, fd), DEVICE)
      sets.push(set)
      return new Reply('set', { fds: set })
    })
    const { fds } = await client.request(1)
    expect(fds.length).toBe(2)
    fds.close()
    expect(sets[0]?.length).toBe(0)
    await noneOpen()
  })

  it('are those of an iterable, which is read once', async () => {
    const [client, server] = connected()
    void server.serve(() => {
      function* all() {
        yield openSync(DEVICE, 'r')
        yield openSync(DEVICE, 'r')
      }
      return new Reply(1, { fds: all() })
    })
    const { fds } = await client.request(1)
    expect(fds.length).toBe(2)
    fds.close()
    await noneOpen()
  })

  it('may be those of the request, also if the reply waits for an earlier one', async () => {
    const [client, server] = connected()
    const gate = deferred<string>()
    void server.serve(async (value, fds) => {
      if (value === 'first') return gate.promise
      if (value === 'set') return new Reply(value, { fds })
      return new Reply(value, { fds: [fds.get(0), fds.get(0)] })
    })
    const first = client.request('first')
    const replies = [requestWithFds(client, 'set'), requestWithFds(client, 'numbers')]
    await expect.poll(() => server.stats.handlers).toBe(1)
    // The requests are closed, and duplicates wait for the first reply.
    await expect.poll(() => server.stats.openFds).toBe(0)
    expect(countOpen(DEVICE)).toBe(3)
    gate.resolve('first reply')
    expect((await first).value).toBe('first reply')
    const [set, numbers] = await Promise.all(replies)
    expect([set?.value, set?.fds.length, numbers?.fds.length]).toEqual(['set', 1, 2])
    set?.fds.close()
    numbers?.fds.close()
    await noneOpen()
  })

  it('are left to their owner if they are numbers of a set or a channel, or stdio', async () => {
    const [client, server] = connected()
    const set = await withFd(fd => receivedFdSet(fd), DEVICE)
    void server.serve(() => new Reply(1, { fds: [set.get(0), server.fd, 0, 1, 2] }))
    const { fds } = await client.request(1)
    expect(fds.length).toBe(5)
    fds.close()
    await loopTurns(3)
    expect([isOpen(0), isOpen(1), isOpen(2), set.kind(0), server.closed]).toEqual([
      true,
      true,
      true,
      'chardev',
      false,
    ])
    set.close()
    await noneOpen()
  })

  it('are left to their owner if they are channels or other objects than a FileHandle', async () => {
    const [client, server] = connected()
    const [other] = connected()
    void server.serve(() => new Reply(1, { fds: [other] }))
    const { fds } = await client.request(1)
    fds.close()
    await loopTurns(3)
    expect(other.closed).toBe(false)
  })

  it('are closed if the reply cannot be sent', async () => {
    const [client, server] = connected({ maxFds: 0 })
    const handles: FileHandle[] = []
    void server.serve(
      async value => {
        const handle = await open(DEVICE)
        handles.push(handle)
        return new Reply(value, { fds: [handle, openSync(DEVICE, 'r')] })
      },
      { onError: error => (error as { code: string }).code },
    )
    expect((await client.request('no descriptors')).value).toBe('ERR_FDWIRE_TOO_MANY_FDS')
    await expect.poll(() => handles[0]?.fd).toBe(-1)
    await noneOpen()
  })

  it('are closed if the value of the reply cannot be encoded', async () => {
    const [client, server] = connected()
    void server.serve(() => new Reply(1n, { fds: [openSync(DEVICE, 'r')] }), {
      onError: error => (error as { code: string }).code,
    })
    expect((await client.request(1)).value).toBe('ERR_FDWIRE_UNENCODABLE')
    await noneOpen()
  })

  it('are closed if one of them is not open, at once and when the reply has to wait', async () => {
    const [client, server] = connected()
    const gate = deferred<string>()
    const errors: unknown[] = []
    void server.serve(
      async value => {
        if (value === 'first') return gate.promise
        return new Reply(value, { fds: [openSync(DEVICE, 'r'), 9_999] })
      },
      {
        onError: (error, value) => {
          errors.push(value, error)
          return 'failed'
        },
      },
    )
    expect((await client.request('at once')).value).toBe('failed')
    await noneOpen()
    const replies = [client.request('first'), client.request('waits')]
    await expect.poll(() => errors.length).toBe(4)
    await noneOpen()
    gate.resolve('done')
    expect((await Promise.all(replies)).map(({ value }) => value)).toEqual(['done', 'failed'])
    expect(errors).toEqual(['at once', errorWithCode('EBADF'), 'waits', errorWithCode('EBADF')])
  })

  it('are closed if the channel is closed before its turn, and while the handler runs', async () => {
    const [client, server] = connected()
    const gate = deferred<Reply>()
    void server.serve(async value =>
      value === 'first' ? gate.promise : new Reply(value, { fds: [openSync(DEVICE, 'r')] }),
    )
    const requests = ['first', 'second'].map(value => client.request(value).catch(() => {}))
    await expect.poll(() => countOpen(DEVICE)).toBe(1)
    server.destroy()
    await Promise.all(requests)
    await noneOpen()
    const handle = await open(DEVICE)
    gate.resolve(new Reply('late', { fds: [handle, openSync(DEVICE, 'r')] }))
    await expect.poll(() => handle.fd).toBe(-1)
    await noneOpen()
  })

  it('over TCP make the reply fail, and are closed', async () => {
    const listener = await listen(
      { host: '127.0.0.1', port: 0 },
      { protocol: 'lines', encoding: 'json' },
    )
    const errors: unknown[] = []
    void listener.serve(() => new Reply('file', { fds: [openSync(DEVICE, 'r')] }), {
      onError: error => {
        errors.push(error)
      },
    })
    const client = track(
      await connect(listener.address as { host: string; port: number }, {
        protocol: 'lines',
        encoding: 'json',
      }),
    )
    const failure = await client.request(1).catch(error => error)
    expect(['ERR_FDWIRE_PEER_CLOSED', 'ECONNRESET']).toContain(failure.code)
    expect(errors).toEqual([errorWithCode('TOO_MANY_FDS')])
    await noneOpen()
    await listener.close()
  })
})
