/** ServiceClient: the order of its calls, and its errors. */
import { closeSync, openSync } from 'node:fs'
import { pair } from 'fdwire'
import { type FdSet, ProtocolError, type Received, ServiceClient, Socket } from 'fdwire/jsoncomm'
import { describe, expect, it } from 'vitest'
import { countOpen, errorWithCode, withFd } from '../../support/channels.js'
import { cleanUpAfterEach, readContents } from '../../support/processes.js'
import {
  cleanUpServices,
  clientAndSocket,
  openTextFile,
  startService,
  trackClient,
} from '../../support/service.js'

cleanUpAfterEach()
cleanUpServices()

const CLOSED = 'ERR_FDWIRE_CLOSED'
const reply = (value: unknown) => ({ type: 'reply', data: { reply: value } })
const signal = (value: unknown) => ({ type: 'signal', data: { reply: value } })
/** Receives a call and returns the name of its method. */
const receiveName = async (socket: Socket) => ((await socket.recv()) as Received).payload.data.name
/** Opens a device that nothing else in this file opens. */
const openFull = () => openSync('/dev/full', 'r')

/** Sends a message with a descriptor of /dev/full. */
async function sendWithFd(socket: Socket, message: unknown) {
  const fd = openFull()
  await socket.send(message, { fds: [fd] })
  closeSync(fd)
}

describe('a call of a ServiceClient', () => {
  it('is sent after the previous reply, with copies of its arguments and descriptors', async () => {
    const [client, socket] = clientAndSocket()
    const args = ['before']
    const fd = openTextFile('content')
    const calls = [
      client.call('first'),
      client.callWithFds('second', args, { fds: [fd] }),
      client.call('third'),
    ]
    args[0] = 'after'
    closeSync(fd)
    expect(await receiveName(socket)).toBe('first')
    // The second call is not sent before the first reply.
    await expect(socket.recv({ timeout: 20 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    await socket.send(reply(1))
    const second = (await socket.recv()) as Received
    expect(second.payload).toEqual({ type: 'method', data: { name: 'second', args: ['before'] } })
    expect(readContents(second.fds.get(0))).toBe('content')
    second.fds.close()
    await socket.send(reply(2))
    expect(await receiveName(socket)).toBe('third')
    await socket.send(reply(3))
    expect((await Promise.all(calls)).map(result => result.value ?? result)).toEqual([1, 2, 3])
    await socket.close()
  })

  it('that cannot be sent rejects, and no other call does', async () => {
    const [client, socket] = clientAndSocket()
    const closed = openTextFile('closed')
    closeSync(closed)
    await expect(client.callWithFds('x', [], { fds: [closed] })).rejects.toEqual(
      errorWithCode('EBADF'),
    )
    const first = client.call('first')
    for (const args of [10n, [10n], () => {}]) {
      await expect(client.call('x', args)).rejects.toEqual(errorWithCode('UNENCODABLE'))
    }
    await expect(client.callWithFds('x', [], { fds: [closed] })).rejects.toEqual(
      errorWithCode('EBADF'),
    )
    await expect(client.callWithFds('x', [], { fds: 5 as never })).rejects.toThrow(TypeError)
    for (const name of ['', 5, undefined]) {
      await expect(client.call(name as never)).rejects.toThrow(/the name of a method/)
    }
    await expect(client.call('x', [], { fds: [] } as never)).rejects.toThrow(/no option fds/)
    await expect(client.call('x', [], { onSignal: 5 as never })).rejects.toThrow(TypeError)
    expect(await receiveName(socket)).toBe('first')
    await socket.send(reply('fine'))
    expect(await first).toBe('fine')
    await socket.close()
  })

  it('that is aborted keeps its place: its late reply is dropped and the descriptors are closed', async () => {
    const [client, socket] = clientAndSocket()
    const signals: unknown[] = []
    const onSignal = (value: unknown) => signals.push(value)
    const controller = new AbortController()
    const first = client.call('first', [], { onSignal, timeout: 5 })
    const aborted = withFd(
      fd => client.callWithFds('never', [], { fds: [fd], signal: controller.signal }),
      '/dev/full',
    ).catch(error => error)
    const third = client.call('third')
    await expect(first).rejects.toEqual(errorWithCode('TIMEOUT'))
    controller.abort()
    expect(await aborted).toHaveProperty('name', 'AbortError')
    expect(countOpen('/dev/full')).toBe(0)
    await expect(client.call('x', [], { signal: AbortSignal.abort() })).rejects.toHaveProperty(
      'name',
      'AbortError',
    )
    expect(await receiveName(socket)).toBe('first')
    await sendWithFd(socket, signal('too late'))
    await sendWithFd(socket, reply('too late'))
    expect(await receiveName(socket)).toBe('third')
    await socket.send(reply('in time'))
    expect(await third).toBe('in time')
    expect([signals, countOpen('/dev/full')]).toEqual([[], 0])
    await socket.close()
  })

  it('rejects if its signal handler throws, and the next call succeeds', async () => {
    const [client, socket] = clientAndSocket()
    const errors = [
      () => Promise.reject(new Error('rejected')),
      () => {
        throw new Error('thrown')
      },
    ]
    for (const onSignal of errors) {
      const call = client.call('m', [], { onSignal })
      const next = client.call('next')
      await sendWithFd(socket, signal(1))
      await sendWithFd(socket, signal(2))
      await sendWithFd(socket, reply('dropped'))
      await expect(call).rejects.toThrow(/rejected|thrown/)
      await socket.send(reply('next'))
      expect(await next).toBe('next')
    }
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })

  it('receives a signal that arrived before it', async () => {
    const [client, socket] = clientAndSocket()
    await sendWithFd(socket, signal('early'))
    const signals: unknown[] = []
    const call = client.call('m', [], { onSignal: value => signals.push(value) })
    await socket.send(reply('fine'))
    expect([await call, signals]).toEqual(['fine', ['early']])
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })

  it('closes the descriptors of signals, exceptions and malformed messages', async () => {
    const [client, socket] = clientAndSocket()
    for (const end of [reply(1), { type: 'reply', data: {} }, { type: 'reply', data: { x: 1 } }]) {
      const call = client.call('m').catch(() => {})
      await sendWithFd(socket, { type: 'unknown', data: { a: 1 } })
      await sendWithFd(socket, { type: 'unknown' })
      await sendWithFd(socket, signal(1))
      await sendWithFd(socket, signal(undefined))
      await sendWithFd(socket, end)
      await call
    }
    const failing = client.call('m')
    await sendWithFd(socket, {
      type: 'exception',
      data: { name: 'E', value: 'v', backtrace: '' },
    })
    await expect(failing).rejects.toMatchObject({ name: 'E', message: 'E: v\n ' })
    await socket.send(reply('next'))
    expect(await client.call('next')).toBe('next')
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })
})

describe('ServiceClient.stop', () => {
  it('rejects the pending calls and closes the connection', async () => {
    const [client, socket] = clientAndSocket()
    const calls = [
      client.call('first'),
      withFd(fd => client.callWithFds('second', [], { fds: [fd] }), '/dev/full'),
    ].map(call => call.catch(error => error))
    expect(await receiveName(socket)).toBe('first')
    expect(await client.stop()).toBeNull()
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ code: CLOSED, message: expect.stringContaining('stopped') })
    }
    expect(await socket.recv()).toBeNull()
    await expect(client.call('x')).rejects.toEqual(errorWithCode('CLOSED'))
    expect(client.stop()).toBe(client.stop())
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })

  it('rejects at once during a signal handler, whose descriptors stay open until it ends', async () => {
    const [client, socket] = clientAndSocket()
    let finish = () => {}
    let call: Promise<unknown> = Promise.resolve()
    const started = new Promise<FdSet>(resolve => {
      const onSignal = (_: unknown, received: FdSet) => {
        resolve(received)
        return new Promise<void>(end => {
          finish = end
        })
      }
      call = client.call('m', [], { onSignal }).catch(error => error)
    })
    const fd = openTextFile('content')
    await socket.send(signal(1), { fds: [fd] })
    closeSync(fd)
    const fds = await started
    await client[Symbol.asyncDispose]()
    expect(await call).toEqual(errorWithCode('CLOSED'))
    expect(readContents(fds.get(0))).toBe('content')
    finish()
    await new Promise(setImmediate)
    expect(fds.length).toBe(0)
    await socket.close()
  })

  it('kills a process that does not exit within the timeout', async () => {
    const slow = await startService('Node')
    await slow.call('slow_stop')
    expect(await slow.stop({ timeout: 50 })).toEqual({ code: null, signal: 'SIGKILL' })
    const hanging = await startService('Python')
    const call = hanging.call('signal_and_hang', [], { onSignal: () => stop() })
    const stop = () => {
      hanging.stop({ timeout: 50 })
    }
    await expect(call).rejects.toEqual(errorWithCode('CLOSED'))
    expect(await hanging.stop()).toEqual({ code: null, signal: 'SIGKILL' })
  })
})

describe('a ServiceClient', () => {
  it.each([
    [{}, 'message empty'],
    [5, 'message is not an object'],
    [{ type: '', data: { a: 1 } }, "'type' field missing"],
  ])('closes the connection on an unusable message: %j', async (message, reason) => {
    const [client, socket] = clientAndSocket()
    const calls = [client.call('first'), client.call('second')].map(call =>
      call.catch(error => error),
    )
    await sendWithFd(socket, message)
    const [first, second] = await Promise.all(calls)
    expect(first).toBeInstanceOf(ProtocolError)
    expect(first.message).toBe(reason)
    expect(second).toMatchObject({ code: CLOSED, cause: first })
    await expect(client.call('third')).rejects.toBe(second)
    expect(await receiveName(socket)).toBe('first')
    expect(await socket.recv()).toBeNull()
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })

  it('closes the connection on invalid JSON', async () => {
    const [raw, other] = pair({ protocol: 'raw', type: 'seqpacket', maxFds: 1 })
    const client = trackClient(ServiceClient.over(Socket.newFromFd(other.detach())))
    const call = client.call('m')
    await withFd(fd => raw.send('no json', { fds: [fd] }), '/dev/full')
    await expect(call).rejects.toEqual(errorWithCode('NOT_JSON'))
    await expect(client.call('x')).rejects.toMatchObject({ code: CLOSED, fault: 'peer' })
    expect(countOpen('/dev/full')).toBe(0)
    await raw.close()
  })
})
