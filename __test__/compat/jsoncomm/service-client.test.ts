/** The client of a service: the order of its calls, and what becomes of them when something is wrong. */
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
const signalOf = (value: unknown) => ({ type: 'signal', data: { reply: value } })
/** What a client has sent by now. */
const nameOf = async (socket: Socket) => ((await socket.recv()) as Received).payload.data.name
/** A descriptor of a device that nothing else here opens. */
const full = () => openSync('/dev/full', 'r')

/** Sends with a descriptor, and closes it. */
async function sendWithFd(socket: Socket, message: unknown) {
  const fd = full()
  await socket.send(message, { fds: [fd] })
  closeSync(fd)
}

describe('calls', () => {
  it('are made one after the other, with what was given when they were called', async () => {
    const [client, socket] = clientAndSocket()
    const args = ['before']
    const fd = openTextFile('mine')
    const calls = [
      client.call('first'),
      client.callWithFds('second', args, { fds: [fd] }),
      client.call('third'),
    ]
    args[0] = 'after'
    closeSync(fd)
    expect(await nameOf(socket)).toBe('first')
    // Nothing more comes until that is answered.
    await expect(socket.recv({ timeout: 20 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    await socket.send(reply(1))
    const second = (await socket.recv()) as Received
    expect(second.payload).toEqual({ type: 'method', data: { name: 'second', args: ['before'] } })
    expect(readContents(second.fds.get(0))).toBe('mine')
    second.fds.close()
    await socket.send(reply(2))
    expect(await nameOf(socket)).toBe('third')
    await socket.send(reply(3))
    expect((await Promise.all(calls)).map(one => one.value ?? one)).toEqual([1, 2, 3])
    await socket.close()
  })

  it('that can not be sent reject alone, at their turn or before', async () => {
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
    expect(await nameOf(socket)).toBe('first')
    await socket.send(reply('fine'))
    expect(await first).toBe('fine')
    await socket.close()
  })

  it('that are given up keep their turn: a late reply is nobody else’s, its descriptors are closed', async () => {
    const [client, socket] = clientAndSocket()
    const told: unknown[] = []
    const onSignal = (value: unknown) => told.push(value)
    const gone = new AbortController()
    const first = client.call('first', [], { onSignal, timeout: 5 })
    const given = withFd(
      fd => client.callWithFds('never', [], { fds: [fd], signal: gone.signal }),
      '/dev/full',
    ).catch(error => error)
    const third = client.call('third')
    await expect(first).rejects.toEqual(errorWithCode('TIMEOUT'))
    gone.abort()
    expect(await given).toHaveProperty('name', 'AbortError')
    expect(countOpen('/dev/full')).toBe(0)
    await expect(client.call('x', [], { signal: AbortSignal.abort() })).rejects.toHaveProperty(
      'name',
      'AbortError',
    )
    expect(await nameOf(socket)).toBe('first')
    await sendWithFd(socket, signalOf('too late'))
    await sendWithFd(socket, reply('too late'))
    expect(await nameOf(socket)).toBe('third')
    await socket.send(reply('in time'))
    expect(await third).toBe('in time')
    expect([told, countOpen('/dev/full')]).toEqual([[], 0])
    await socket.close()
  })

  it('whose handler of signals throws reject with that, and the next one is fine', async () => {
    const [client, socket] = clientAndSocket()
    const errors = [
      () => Promise.reject(new Error('later')),
      () => {
        throw new Error('at once')
      },
    ]
    for (const onSignal of errors) {
      const call = client.call('m', [], { onSignal })
      const next = client.call('next')
      await sendWithFd(socket, signalOf(1))
      await sendWithFd(socket, signalOf(2))
      await sendWithFd(socket, reply('dropped'))
      await expect(call).rejects.toThrow(/later|at once/)
      await socket.send(reply('mine'))
      expect(await next).toBe('mine')
    }
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })

  it('a signal that came between two calls is told during the second', async () => {
    const [client, socket] = clientAndSocket()
    await sendWithFd(socket, signalOf('early'))
    const told: unknown[] = []
    const call = client.call('m', [], { onSignal: value => told.push(value) })
    await socket.send(reply('fine'))
    expect([await call, told]).toEqual(['fine', ['early']])
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })

  it('descriptors of whatever is no reply are closed', async () => {
    const [client, socket] = clientAndSocket()
    for (const end of [reply(1), { type: 'reply', data: {} }, { type: 'reply', data: { x: 1 } }]) {
      const call = client.call('m').catch(() => {})
      await sendWithFd(socket, { type: 'weird', data: { a: 1 } })
      await sendWithFd(socket, { type: 'weird' })
      await sendWithFd(socket, signalOf(1))
      await sendWithFd(socket, signalOf(undefined))
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

describe('a client that is stopped', () => {
  it('in the middle of a call rejects that and those behind it, and the service hears the end', async () => {
    const [client, socket] = clientAndSocket()
    const calls = [
      client.call('first'),
      withFd(fd => client.callWithFds('second', [], { fds: [fd] }), '/dev/full'),
    ].map(call => call.catch(error => error))
    expect(await nameOf(socket)).toBe('first')
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

  it('while a handler of signals works rejects at once, and the handler keeps its descriptors', async () => {
    const [client, socket] = clientAndSocket()
    let done = () => {}
    let call: Promise<unknown> = Promise.resolve()
    const began = new Promise<FdSet>(resolve => {
      const onSignal = (_: unknown, given: FdSet) => {
        resolve(given)
        return new Promise<void>(end => {
          done = end
        })
      }
      call = client.call('m', [], { onSignal }).catch(error => error)
    })
    const fd = openTextFile('still needed')
    await socket.send(signalOf(1), { fds: [fd] })
    closeSync(fd)
    const fds = await began
    await client[Symbol.asyncDispose]()
    expect(await call).toEqual(errorWithCode('CLOSED'))
    expect(readContents(fds.get(0))).toBe('still needed')
    done()
    await new Promise(setImmediate)
    expect(fds.length).toBe(0)
    await socket.close()
  })

  it('kills a process that does not end in time, also one in the middle of a call', async () => {
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

describe('a service that says what nobody can place', () => {
  it.each([
    [{}, 'message empty'],
    [5, 'message is not an object'],
    [{ type: '', data: { a: 1 } }, "'type' field missing"],
  ])('%j: the connection is given up', async (message, why) => {
    const [client, socket] = clientAndSocket()
    const calls = [client.call('first'), client.call('second')].map(call =>
      call.catch(error => error),
    )
    await sendWithFd(socket, message)
    const [first, second] = await Promise.all(calls)
    expect(first).toBeInstanceOf(ProtocolError)
    expect(first.message).toBe(why)
    expect(second).toMatchObject({ code: CLOSED, cause: first })
    await expect(client.call('third')).rejects.toBe(second)
    expect(await nameOf(socket)).toBe('first')
    expect(await socket.recv()).toBeNull()
    expect(countOpen('/dev/full')).toBe(0)
    await socket.close()
  })

  it('a record that is no JSON too', async () => {
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
