import { once } from 'node:events'
import { closeSync, constants, openSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  adopt,
  bind,
  Codec,
  connect,
  createMemfd,
  FdSet,
  listen,
  mapMemfd,
  pair,
  sealMemfd,
} from 'fdwire'
import { describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/processes.js'
import { afterTest, runCleanupsAfterEach } from '../support/streams.js'

runCleanupsAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const RAW_DGRAM = { protocol: 'raw', type: 'dgram', maxFds: 4 } as const

/** Returns what a call throws, or what its promise rejects with. */
async function errorOf(call: () => unknown): Promise<NodeJS.ErrnoException & { index?: number }> {
  try {
    await call()
  } catch (error) {
    return error as NodeJS.ErrnoException
  }
  throw new Error('The call has not failed')
}

/** Returns the open descriptors of this process, and what they refer to. */
function descriptors(): { fd: string; target: string }[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return { fd, target: readlinkSync(`/proc/self/fd/${fd}`) }
    } catch {
      return [] // That of the folder is closed.
    }
  })
}

/** Returns a channel that is destroyed after the test. */
function tracked<T extends { destroy(): unknown }>(channel: T): T {
  afterTest(() => void channel.destroy())
  return channel
}

function trackedPair<T extends { destroy(): unknown }>([a, b]: [T, T]): [T, T] {
  return [tracked(a), tracked(b)]
}

describe('the message of EMSGSIZE', () => {
  it('says the size, the limit, and that jsoncomm can use a memfd', async () => {
    const [a] = trackedPair(pair(JSONCOMM))
    const error = await errorOf(() => a.send('x'.repeat(300_000)))
    expect(error.message).toBe(
      'sendmsg EMSGSIZE: a message of 300,002 bytes exceeds the largest datagram of the ' +
        "socket's send buffer (212,960 bytes): set memfd: true at both ends, " +
        'or a larger sendBufferSize',
    )
    expect(error).toMatchObject({ code: 'EMSGSIZE', errno: -90, syscall: 'sendmsg' })
  })

  it('is the same for a message of sendAll, an unconnected socket and a queued message', async () => {
    const text = 'x'.repeat(300_000)
    const size = /message of 300,002 bytes .*\(212,960 bytes\)/
    const [a] = trackedPair(pair(JSONCOMM))
    const batch = await errorOf(() => a.sendAll([1, { toJSON: () => text }, 3]))
    expect(batch).toMatchObject({ code: 'EMSGSIZE', sent: 1 })
    expect(batch.message).toMatch(size)
    while (a.send('fill the queue'));
    expect((await errorOf(() => a.send(text))).message).toMatch(size)
    const server = tracked(await bind(null, JSONCOMM))
    const to = server.localAddress as string
    const unconnected = await errorOf(() => server.send(text, { to }))
    expect(unconnected.message).toMatch(size)
    expect(unconnected.message).toMatch(/^sendmsg EMSGSIZE -> @[0-9a-f]{5}: /)
  })

  it('names a memfd and a stream for a record of another protocol', async () => {
    const [a] = trackedPair(pair({ protocol: 'raw', type: 'seqpacket' }))
    const error = await errorOf(() => a.sendAll([Buffer.alloc(1), Buffer.alloc(400_000)]))
    expect(error.message).toBe(
      'sendmsg EMSGSIZE: a message of 400,000 bytes exceeds the largest record of the ' +
        "socket's send buffer (212,960 bytes): set a larger sendBufferSize, pass the " +
        'bytes in a memfd (createMemfd), or use a stream',
    )
  })
})

describe('the message of EBADF', () => {
  it('says which descriptor of a message is not open', async () => {
    const [a] = trackedPair(pair(RAW_DGRAM))
    const open = openSync('/dev/null', 'r')
    const closed = 9_999
    const expected = `sendmsg EBADF: fds[1] (descriptor ${closed}) is not open`
    const error = await errorOf(() => a.send('x', { fds: [open, closed] }))
    expect(error.message).toBe(expected)
    expect(error).toMatchObject({ code: 'EBADF', errno: -9, syscall: 'sendmsg', index: 1 })
    while (a.send('fill the queue'));
    const queued = await errorOf(() => a.send('x', { fds: [open, closed] }))
    expect([queued.message, queued.index]).toEqual([expected, 1])
    closeSync(open)
  })

  it('says which number of FdSet.from is not open', async () => {
    const open = openSync('/dev/null', 'r')
    const error = await errorOf(() => FdSet.from([open, 9_999]))
    expect(error.message).toBe('fstat EBADF: fds[1] (descriptor 9999) is not open')
    expect(error).toMatchObject({ code: 'EBADF', index: 1 })
    closeSync(open)
  })
})

describe('the message of an error of a descriptor that a call cannot have', () => {
  it('says what owns it, and how the owner gives it away', async () => {
    const set = FdSet.from([openSync('/dev/null', 'r')])
    const fd = set.get(0)
    const ofSet = await errorOf(() => FdSet.from([fd]))
    expect(ofSet).toMatchObject({ code: 'EBUSY', index: 0 })
    expect(ofSet.message).toBe(
      `fcntl EBUSY: descriptor ${fd} belongs to an FdSet already: take() gives it away`,
    )
    set.close()
    const [channel] = trackedPair(pair(JSONCOMM))
    const ofChannel = await errorOf(() => FdSet.from([channel.fd]))
    expect(ofChannel.message).toBe(
      `fcntl EBUSY: descriptor ${channel.fd} belongs to a channel already: detach() gives it away`,
    )
  })

  it('says that it is not open, or what it is instead of a socket', async () => {
    const closed = await errorOf(() => adopt(9_999, JSONCOMM))
    expect(closed.message).toBe('getsockopt EBADF: descriptor 9999 is not open')
    const epoll = descriptors().find(({ target }) => target === 'anon_inode:[eventpoll]')
    const other = await errorOf(() => adopt(Number(epoll?.fd), JSONCOMM))
    expect(other.message).toMatch(/^Descriptor \d+ is not a socket but an epoll: /)
  })
})

describe('the message of an error of a memfd', () => {
  it('says what the descriptor is instead of a memfd, or that it is not open', async () => {
    const [channel] = trackedPair(pair({ protocol: 'lines' }))
    for (const call of [mapMemfd, sealMemfd]) {
      const wrong = await errorOf(() => call(channel.fd))
      expect(wrong.message).toBe(
        `${call.name} needs a memfd, descriptor ${channel.fd} is of kind 'unix-stream'`,
      )
      const closed = await errorOf(() => call(9_999))
      expect(closed.message).toMatch(/^(mmap|fcntl) EBADF: descriptor 9999 is not open$/)
    }
  })

  it('says why a memfd cannot be read or sealed', async () => {
    using sealed = createMemfd('x')
    const seal = await errorOf(() => sealMemfd(sealed.get(0)))
    expect(seal.message).toMatch(/^fcntl EPERM: descriptor \d+ is a memfd that is sealed already/)
    using unsealed = createMemfd(1)
    const writer = openSync(`/proc/self/fd/${unsealed.get(0)}`, constants.O_WRONLY)
    const map = await errorOf(() => mapMemfd(writer))
    expect(map.message).toMatch(/^\w+ EACCES: descriptor \d+ is not open for reading$/)
    closeSync(writer)
  })
})

describe('the message of a timeout', () => {
  it('says that a reply is missing if a request waits, and a message if receive does', async () => {
    const [a] = trackedPair(pair({ protocol: 'lines' }))
    const reply = await errorOf(() => a.request('x', { timeout: 5 }))
    expect(reply.message).toBe('The request received no reply within 5 ms')
    const match = () => false
    const matching = await errorOf(() => a.request('x', { timeout: 5, match }))
    expect(matching.message).toBe('The request received no message that match accepts within 5 ms')
    const [b] = trackedPair(pair({ protocol: 'lines' }))
    const message = await errorOf(() => b.receive({ timeout: 5 }))
    expect(message.message).toBe('No message arrived within 5 ms')
  })

  it('names the destination of a queued message, and how long the message has waited', async () => {
    const server = tracked(await bind(null, { ...JSONCOMM, sendTimeout: 5 }))
    const silent = tracked(await bind(null, JSONCOMM))
    const to = silent.localAddress as string
    const dropped = once(server, 'undelivered')
    while (server.send('fill the queue', { to }));
    const [error] = await dropped
    expect(error.message).toBe(
      `A message to ${to.replace('\0', '@')} was dropped after 5 ms in the queue (sendTimeout): ` +
        'its receiver does not read, or too slowly',
    )
  })
})

describe('the message of a text that UTF-8 cannot encode', () => {
  it.each([
    ['The message', 'a message', (text: string) => new Codec('lines').encode(text)],
    ['The address', 'an address', (text: string) => connect(text, { protocol: 'lines' })],
    ['name', 'the name of a memfd', (text: string) => createMemfd('', { name: text })],
  ])(
    'begins with %s for %s, and says where the surrogate is and what to do',
    async (what, _, call) => {
      const error = await errorOf(() => call('😀 \udc00'))
      expect(error).toMatchObject({ code: 'ERR_FDWIRE_ILL_FORMED_TEXT' })
      expect(error.message).toBe(
        `${what} has a lone surrogate at 3 (U+DC00), which UTF-8 cannot encode: toWellFormed() replaces it`,
      )
    },
  )
})

describe('the message of an error of a limit', () => {
  it('tells how to pass descriptors over a channel without them', async () => {
    const [a] = trackedPair(pair({ protocol: 'lines' }))
    const error = await errorOf(() => a.send('x', { fds: [0] }))
    expect(error).toMatchObject({ code: 'ERR_FDWIRE_TOO_MANY_FDS' })
    expect(error.message).toBe(
      'Messages of this channel carry no descriptors (maxFds: 0): set maxFds at both ends of a Unix socket',
    )
  })

  it('names the options that limit a queue, with their values', async () => {
    const [a] = trackedPair(pair({ ...JSONCOMM, maxQueued: 20_000 }))
    const error = await errorOf(() => {
      for (;;) a.send('x'.repeat(1_000))
    })
    expect(error.message).toBe(
      "The queue is full (maxQueued: 20,000 bytes, maxQueuedFds: 1,024): wait for 'drain' when send returns false",
    )
  })

  it('names maxFds and its value if a message has more descriptors', async () => {
    const [a] = trackedPair(pair(RAW_DGRAM))
    const error = await errorOf(() => a.send('x', { fds: [0, 0, 0, 0, 0] }))
    expect(error.message).toBe(
      'A message of this channel has at most 4 descriptors (maxFds), not 5',
    )
  })

  it('names maxMessage and maxFds, with their values, if a received message exceeds them', async () => {
    const raw = { protocol: 'raw', type: 'seqpacket' } as const
    const [a, b] = trackedPair(pair({ ...raw, maxFds: 2 }))
    const limited = tracked(adopt(b.detach(), { ...raw, maxFds: 1, maxMessage: 1_000 }))
    const messages: string[] = []
    const both = new Promise<void>(resolve => {
      limited.on('malformed', ({ message }) => {
        if (messages.push(message) === 2) resolve()
      })
    })
    limited.on('message', () => {})
    a.send('x'.repeat(1_001))
    a.send('x', { fds: [0, 0] })
    await both
    expect(messages).toEqual([
      'The message has more bytes than maxMessage allows (1,000)',
      'The message has more descriptors than maxFds allows (1)',
    ])
  })
})

describe('the message of ENOENT', () => {
  it('names the directory that is missing if a path cannot be bound', async () => {
    const missing = join(temporaryDirectory(), 'missing')
    const path = join(missing, 'a.sock')
    const hint = `: the directory ${missing} does not exist`
    for (const call of [() => bind(path, JSONCOMM), () => listen(path, { protocol: 'lines' })]) {
      const error = await errorOf(call)
      expect(error).toMatchObject({ code: 'ENOENT', errno: -2, path })
      expect(error.message.endsWith(hint)).toBe(true)
    }
  })

  it('tells a missing directory from a missing socket if a peer cannot be reached', async () => {
    const directory = temporaryDirectory()
    const socket = join(directory, 'a.sock')
    for (const options of [JSONCOMM, { protocol: 'lines' } as const]) {
      const absent = await errorOf(() => connect(socket, options as typeof JSONCOMM))
      expect(absent.message).toBe(`connect ENOENT ${socket}: no socket has this address`)
      const lost = join(directory, 'missing', 'a.sock')
      const error = await errorOf(() => connect(lost, options as typeof JSONCOMM))
      const hint = `the directory ${join(directory, 'missing')} does not exist`
      expect(error.message).toBe(`connect ENOENT ${lost}: ${hint}`)
    }
  })
})

describe('the message of an address that was meant as another kind', () => {
  it.each([
    ['127.0.0.1:80', "{ host: '127.0.0.1', port: 80 }"],
    ['tcp://localhost:8080/', "{ host: 'localhost', port: 8080 }"],
    ['[::1]:80', "{ host: '::1', port: 80 }"],
  ])('shows how the address of a TCP socket is written for %s', async (path, expected) => {
    const error = await errorOf(() => connect(path, { protocol: 'lines' }))
    expect(error).toMatchObject({ code: 'ENOENT', path })
    expect(error.message).toBe(
      `connect ENOENT ${path}: no socket has this path: the address of a TCP socket is ${expected}`,
    )
  })

  it("shows how an abstract name begins if a path begins with '@'", async () => {
    const error = await errorOf(() => connect('@name', JSONCOMM))
    expect(error.message).toBe(
      "connect ENOENT @name: no socket has this path: an abstract name begins with '\\0', not '@'",
    )
  })
})

describe('the message of an error of a destination', () => {
  it('says what is wrong at the address', async () => {
    const socket = tracked(await bind(null, JSONCOMM))
    const directory = temporaryDirectory()
    const file = join(directory, 'file')
    writeFileSync(file, '')
    const stream = join(directory, 'stream.sock')
    tracked({
      destroy: (
        listener => () =>
          listener.close()
      )(await listen(stream, { protocol: 'lines' })),
    })
    const cases = {
      [join(directory, 'a.sock')]: ['ENOENT', 'no socket has this address'],
      [join(directory, 'b', 'a.sock')]: [
        'ENOENT',
        `the directory ${join(directory, 'b')} does not exist`,
      ],
      [file]: ['ECONNREFUSED', 'the file at this path is not a socket'],
      [stream]: [
        'EPROTOTYPE',
        "the socket at this address is not of type 'dgram': set the option type, or choose another protocol",
      ],
    }
    for (const [to, [code, hint]] of Object.entries(cases)) {
      for (const call of [() => socket.send(1, { to }), () => socket.sendAll([1], { to })]) {
        const error = await errorOf(call)
        expect(error).toMatchObject({ code, syscall: 'sendmsg', dest: to })
        expect(error.message).toBe(`sendmsg ${code} -> ${to}: ${hint}`)
      }
    }
  })

  it('says what it must be', async () => {
    const socket = tracked(await bind(null, JSONCOMM))
    const wrong = await errorOf(() => socket.send(1, { to: 5 as never }))
    expect(wrong.message).toBe('to must be a path, an abstract name or a Buffer, not 5')
    const empty = await errorOf(() => socket.send(1, { to: '' }))
    expect(empty.message).toBe('to must not be empty: no socket has an empty address')
  })
})

describe('the message of another error of an address', () => {
  it('says that nothing listens there, or that the socket there has another type', async () => {
    const path = join(temporaryDirectory(), 'a.sock')
    const listener = await listen(path, { protocol: 'lines' })
    const type = await errorOf(() => connect(path, JSONCOMM))
    expect(type).toMatchObject({ code: 'EPROTOTYPE', syscall: 'connect', path })
    expect(type.message).toMatch(/: the socket at this address is not of type 'dgram'/)
    await listener.close()
    const name = '\0fdwire nothing listens here'
    expect((await errorOf(() => connect(name, { protocol: 'lines' }))).message).toBe(
      'connect ECONNREFUSED @fdwire nothing listens here: no process listens at this address',
    )
  })

  it('says why a path cannot be bound: it is in use, or not in a directory', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'a.sock')
    tracked(await bind(path, JSONCOMM))
    expect((await errorOf(() => bind(path, JSONCOMM))).message).toBe(
      `bind EADDRINUSE ${path}: a process has a socket open at this path`,
    )
    const file = join(directory, 'file')
    writeFileSync(file, '')
    const inFile = await errorOf(() => bind(join(file, 'a.sock'), JSONCOMM))
    expect(inFile.message.endsWith(`: ${file} is not a directory`)).toBe(true)
  })
})
