/** fdwire/systemd: notifications of a service manager. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { bind, createMemfd } from 'fdwire'
import {
  barrier,
  mainPid,
  notify,
  ready,
  reloading,
  removeFds,
  status,
  stopping,
  storeFds,
} from 'fdwire/systemd'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track, withFd } from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { cleanUpAfterEach, type Peer, temporaryDirectory } from '../support/processes.js'
import { canary } from '../support/rights.js'
import { type Notification, startManager, unsetVariablesAfterEach } from '../support/systemd.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
unsetVariablesAfterEach()

const socketPath = () => join(temporaryDirectory(), 'notify')
const next = (manager: Peer): Promise<Notification> => manager.receive()
const nextState = async (manager: Peer) => (await next(manager)).state

describe('without NOTIFY_SOCKET', () => {
  it.each([
    ['notify', () => notify('READY=1')],
    ['ready', ready],
    ['reloading', reloading],
    ['stopping', stopping],
    ['status', () => status('text')],
    ['mainPid', () => mainPid(1)],
    ['storeFds', () => withFd(fd => storeFds('name', [fd]))],
    ['removeFds', () => removeFds('name')],
    ['barrier', () => barrier()],
  ])('%s resolves to false', async (_, call) => {
    expect(await call()).toBe(false)
    process.env.NOTIFY_SOCKET = ''
    expect(await call()).toBe(false)
  })

  it('notify refuses the same arguments as with it', async () => {
    await expect(notify('X=1', { fds: 5 as never })).rejects.toThrow(TypeError)
    await expect(notify('X=1', { fds: [999_999] })).rejects.toEqual(errorWithCode('EBADF'))
  })
})

describe('a notification', () => {
  it('is one datagram of this process, from a socket without a name', async () => {
    const manager = await startManager(socketPath())
    expect(await notify('READY=1\nSTATUS=Ready')).toBe(true)
    expect(await next(manager)).toEqual({
      state: 'READY=1\nSTATUS=Ready',
      kinds: [],
      pid: process.pid,
      named: false,
      truncated: false,
    })
  })

  it('may be an object of fields, without those that are undefined', async () => {
    const manager = await startManager(socketPath())
    await notify({ READY: 1, STATUS: 'é = 2', ERRNO: undefined, EXTEND_TIMEOUT_USEC: 10n ** 15n })
    expect(await nextState(manager)).toBe(
      'READY=1\nSTATUS=é = 2\nEXTEND_TIMEOUT_USEC=1000000000000000',
    )
  })

  it('goes to an abstract name if NOTIFY_SOCKET begins with @', async () => {
    const manager = await startManager(`@fdwire-notify-${process.pid}`)
    expect(await ready()).toBe(true)
    expect(await nextState(manager)).toBe('READY=1')
  })

  it('carries descriptors, which the caller may close after the call', async () => {
    const manager = await startManager(socketPath())
    const before = fdTargets().length
    const memfd = createMemfd('content')
    const sent = withFd(fd => notify('FDSTORE=1', { fds: [fd, memfd.get(0)] }), '/dev/null')
    memfd.close()
    expect(await sent).toBe(true)
    expect((await next(manager)).kinds).toEqual(['chr', 'reg'])
    await expect.poll(() => fdTargets().length).toBe(before)
  })

  it('arrives in the order of the calls, also when they are not awaited', async () => {
    const manager = await startManager(socketPath(), 'stop')
    // More than the kernel queues for a receiver that does not read.
    const sent = Array.from({ length: 100 }, (_, i) => status(`${i}`))
    manager.send({})
    for (let i = 0; i < 100; i++) expect(await nextState(manager)).toBe(`STATUS=${i}`)
    expect(await Promise.all(sent)).toEqual(Array(100).fill(true))
  })

  it('is given up after the timeout if the manager does not read', async () => {
    const manager = await startManager(socketPath(), 'stop')
    const watched = canary()
    const fds = [watched.fd]
    const sent = Array.from({ length: 30 }, () => notify('X=1', { timeout: 100, fds }))
    const results = await Promise.allSettled(sent)
    expect(results[0]?.status).toBe('fulfilled')
    expect(results.at(-1)).toMatchObject({
      status: 'rejected',
      reason: { code: 'ERR_FDWIRE_TIMEOUT' },
    })
    watched.close()
    manager.send({})
    await watched.released
  })

  it('fails if nobody is at the address, and works when the manager is back', async () => {
    const path = socketPath()
    const manager = await startManager(path)
    await manager.stop()
    await expect(ready()).rejects.toEqual(errorWithCode('ECONNREFUSED'))
    process.env.NOTIFY_SOCKET = `${path}-missing`
    await expect(ready()).rejects.toEqual(errorWithCode('ENOENT'))
    const other = await startManager(`${path}-new`)
    await ready()
    expect(await nextState(other)).toBe('READY=1')
  })

  it('leaves no descriptor and nothing that keeps the process alive', async () => {
    const manager = await startManager(socketPath())
    const before = fdTargets().length
    await ready()
    await next(manager)
    await expect.poll(() => fdTargets().length).toBe(before)
  })
})

describe('the functions for single fields', () => {
  it('send what sd_notify(3) documents', async () => {
    const manager = await startManager(socketPath())
    const cases: [() => Promise<boolean>, string][] = [
      [ready, 'READY=1'],
      [stopping, 'STOPPING=1'],
      [() => status('Half way'), 'STATUS=Half way'],
      [() => mainPid(4_711), 'MAINPID=4711'],
      [() => removeFds('old'), 'FDSTOREREMOVE=1\nFDNAME=old'],
      [() => withFd(fd => storeFds('kept', [fd])), 'FDSTORE=1\nFDNAME=kept'],
    ]
    for (const [call, state] of cases) {
      expect(await call()).toBe(true)
      expect(await nextState(manager)).toBe(state)
    }
  })

  it('report the monotonic time when the service reloads', async () => {
    const manager = await startManager(socketPath())
    const now = () => Number(process.hrtime.bigint() / 1_000n)
    const before = now()
    await reloading()
    const [, time] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(await nextState(manager)) ?? []
    expect(Number(time)).toBeGreaterThanOrEqual(before)
    expect(Number(time)).toBeLessThanOrEqual(now())
  })
})

describe('barrier', () => {
  it('sends BARRIER=1 alone with one end of a pipe, and waits until that is closed', async () => {
    const manager = await startManager(socketPath(), 'hold')
    let isOver = false
    const waiting = barrier().then(result => {
      isOver = true
      return result
    })
    expect(await next(manager)).toMatchObject({ state: 'BARRIER=1', kinds: ['fifo'] })
    expect(isOver).toBe(false)
    manager.send({})
    expect(await waiting).toBe(true)
  })

  it('follows the notifications before it', async () => {
    const manager = await startManager(socketPath())
    status('first')
    await barrier()
    expect([await nextState(manager), await nextState(manager)]).toEqual([
      'STATUS=first',
      'BARRIER=1',
    ])
  })

  it('fails after its timeout, and leaves no descriptor', async () => {
    const manager = await startManager(socketPath(), 'hold')
    const before = fdTargets().length
    await expect(barrier({ timeout: 50 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    await expect.poll(() => fdTargets().length).toBe(before)
    await manager.stop()
    const without = fdTargets().length
    await expect(barrier()).rejects.toEqual(errorWithCode('ECONNREFUSED'))
    await expect.poll(() => fdTargets().length).toBe(without)
  })
})

describe('systemd-notify', () => {
  it('sends the same as these functions', async () => {
    const path = socketPath()
    const channel = track(await bind(path, { protocol: 'raw', type: 'dgram', maxFds: 10 }))
    const receive = async () => {
      const message = await channel.receive()
      const kinds = Array.from({ length: message?.fds.length ?? 0 }, (_, i) => message?.fds.kind(i))
      message?.fds.close()
      return { state: message?.value.toString(), kinds }
    }
    process.env.NOTIFY_SOCKET = path
    const tool = spawn('systemd-notify', ['--ready', '--status=Up', '--pid=4711'])
    const exited = once(tool, 'exit')
    const sent = notify({ READY: 1, STATUS: 'Up', MAINPID: 4_711 }).then(() => barrier())
    const received = [await receive(), await receive(), await receive(), await receive()]
    expect(await sent).toBe(true)
    expect((await exited)[0]).toBe(0)
    const sorted = received.map(({ state, kinds }) => `${state} ${kinds}`).sort()
    expect(sorted).toEqual([
      'BARRIER=1 pipe',
      'BARRIER=1 pipe',
      'READY=1\nSTATUS=Up\nMAINPID=4711 ',
      'READY=1\nSTATUS=Up\nMAINPID=4711 ',
    ])
  })
})

describe('an invalid notification', () => {
  it.each([
    ['an empty one', () => notify(''), TypeError, /at least one field/],
    ['one without fields', () => notify({ STATUS: undefined }), TypeError, /at least one field/],
    ['a number', () => notify(1 as never), TypeError, /a string or an object of fields, not 1/],
    ['null', () => notify(null as never), TypeError, /not null/],
    ['a name with =', () => notify({ 'A=B': 1 }), TypeError, /without = and line breaks/],
    ['a boolean', () => notify({ READY: true as never }), TypeError, /READY must be a string/],
    ['two lines in a field', () => status('a\nREADY=1'), RangeError, /STATUS must be one line/],
    ['a status that is no text', () => status(1 as never), TypeError, /status takes a string/],
    ['a longer one than systemd reads', () => status('x'.repeat(4_096)), RangeError, /4,?096/],
    ['no process', () => mainPid(0), RangeError, /pid must be an integer from 1/],
    ['an unknown option', () => notify('X=1', { pid: 1 } as never), TypeError, /no option pid/],
    ['a negative timeout', () => barrier({ timeout: -1 }), RangeError, /timeout/],
    ['a name with a colon', () => removeFds('a:b'), RangeError, /without a colon/],
    ['an empty name', () => storeFds('', [0]), RangeError, /1 to 255/],
    ['a long name', () => removeFds('x'.repeat(256)), RangeError, /1 to 255/],
    ['a name that is no text', () => removeFds(1 as never), TypeError, /name must be a string/],
    ['no descriptor to store', () => storeFds('a', []), RangeError, /at least one descriptor/],
  ])('is refused: %s', async (_, call, type, message) => {
    const manager = await startManager(socketPath())
    const error = await call().then(
      () => expect.unreachable(),
      (thrown: Error) => thrown,
    )
    expect(error).toBeInstanceOf(type)
    expect(error.message).toMatch(message)
    // Nothing was sent before.
    await notify('LAST=1')
    expect(await nextState(manager)).toBe('LAST=1')
  })

  it('is refused if it contains a lone surrogate', async () => {
    await expect(status('\ud800')).rejects.toEqual(errorWithCode('ILL_FORMED_TEXT'))
  })

  it('has too many descriptors, or one that is not open', async () => {
    await startManager(socketPath())
    const fds = Array(254).fill(0)
    await expect(notify('X=1', { fds })).rejects.toEqual(errorWithCode('TOO_MANY_FDS'))
    await expect(notify('X=1', { fds: [999_999] })).rejects.toEqual(errorWithCode('EBADF'))
  })

  it.each(['vsock:2:1234', 'notify', '@'])(
    'cannot be sent to the address %s, which fdwire does not have',
    async address => {
      process.env.NOTIFY_SOCKET = address
      await expect(ready()).rejects.toEqual(errorWithCode('BAD_ADDRESS'))
      await expect(ready()).rejects.toThrow(`NOTIFY_SOCKET must be an absolute path`)
    },
  )
})
