/**
 * The original's own tests of its service protocol (osbuild's test_host.py), between Node and
 * Python.
 */
import { closeSync } from 'node:fs'
import { FdwireError } from 'fdwire'
import { type FdSet, RemoteError, ServiceClient } from 'fdwire/jsoncomm'
import { describe, expect, it } from 'vitest'
import { cleanUpAfterEach, type Peer, readContents } from '../../support/processes.js'
import {
  cleanUpServices,
  type Language,
  openTextFile,
  pythonClient,
  serviceCommand,
  startService,
  trackClient,
} from '../../support/service.js'

cleanUpAfterEach()
cleanUpServices()

const textsOf = (fds: FdSet) => {
  const texts = [...fds].map(readContents)
  fds.close()
  return texts
}

describe.each<Language>(['Node', 'Python'])('a ServiceClient of a service in %s', language => {
  it('calls methods and stops the service (basic)', async () => {
    const [command, args] = serviceCommand(language)
    const extra = ['--more', 'arguments']
    const client = trackClient(
      await ServiceClient.start(command, args, { id: 'the id', extra, stdout: 'ignore' }),
    )
    for (const value of [['an', 'argument'], [], null, { key: 'é 😀' }, 'text', 0]) {
      expect(await client.call('echo', value)).toEqual(value)
    }
    expect(await client.call('echo')).toEqual([])
    const about = await client.call('about')
    expect(about).toMatchObject({ id: 'the id', stdin: '/dev/null', pid: client.child?.pid })
    expect(about.argv.slice(-2)).toEqual(extra)
    expect(client.id).toBe('the id')
    expect(await client.stop()).toEqual({ code: 0, signal: null })
    expect(await client.exited).toEqual({ code: 0, signal: null })
  })

  it.each([0, 1, 3, 100])(
    'exchanges descriptors in both directions: %i fds (pass_fd)',
    async count => {
      const client = await startService(language)
      const before = await client.call('open_fds')
      const texts = Array.from({ length: count }, (_, i) => `descriptor ${i}`)
      const sent = texts.map(openTextFile)
      const call = client.callWithFds('swap', texts, { fds: sent })
      // The call has duplicated them.
      for (const fd of sent) closeSync(fd)
      const { value, fds } = await call
      expect(value).toEqual(texts)
      expect(textsOf(fds)).toEqual(texts)
      // call() closes the descriptors of a reply; support/descriptors.ts checks that.
      expect(await client.call('swap', texts)).toEqual([])
      expect(await client.call('open_fds')).toBe(before)
    },
  )

  it('gets an exception for a reply with a closed descriptor (pass_fd_invalid)', async () => {
    const client = await startService(language)
    const before = await client.call('open_fds')
    await expect(client.call('bad_fd')).rejects.toBeInstanceOf(RemoteError)
    expect(await client.call('open_fds')).toBe(before)
  })

  it('gets the name, value and backtrace of an exception (exception)', async () => {
    const client = await startService(language)
    const error: RemoteError = await client.call('boom').catch(reason => reason)
    expect(error).toBeInstanceOf(RemoteError)
    expect(error).toBeInstanceOf(FdwireError)
    expect([error.name, error.value, error.code, error.fault]).toEqual([
      'ValueError',
      'Remote Exception',
      'ERR_FDWIRE_REMOTE',
      'peer',
    ])
    expect(error.backtrace).toMatch(/service\.(py|mjs)/)
    expect(error.message).toBe(`ValueError: Remote Exception\n ${error.backtrace}`)
    expect(await client.call('echo', ['echo'])).toEqual(['echo'])
  })

  it('gets signals before the reply, each with its descriptors (signals)', async () => {
    const client = await startService(language)
    const received: unknown[] = []
    const sets: FdSet[] = []
    const onSignal = async (value: { text: string }, fds: FdSet) => {
      received.push(value, [...fds].map(readContents))
      sets.push(fds)
      await new Promise(setImmediate)
      // The set is open until the handler ends.
      expect(fds.length).toBe(value.text === undefined ? 0 : 1)
    }
    expect(await client.call('signals', ['one', 'two'], { onSignal })).toBe(2)
    expect(received).toEqual([
      { text: 'one' },
      ['one'],
      { text: 'two' },
      ['two'],
      'last signal',
      [],
    ])
    expect(sets.map(set => set.length)).toEqual([0, 0, 0])
    // Without a handler signals are dropped and their descriptors are closed.
    expect(await client.call('signals', ['three'])).toBe(1)
  })

  it('lets a signal handler take descriptors', async () => {
    const client = await startService(language)
    const taken: number[] = []
    const onSignal = (_: unknown, fds: FdSet) => {
      if (fds.length > 0) taken.push(fds.take(0))
    }
    await client.call('signals', ['kept'], { onSignal })
    expect(taken.map(readContents)).toEqual(['kept'])
    for (const fd of taken) closeSync(fd)
  })

  it('rejects the pending calls when the service is killed during a call', async () => {
    const client = await startService(language)
    const onSignal = () => client.child?.kill('SIGKILL')
    const fd = openTextFile('content')
    const calls = [
      client.call('signal_and_hang', [], { onSignal }),
      client.callWithFds('read', [], { fds: [fd] }),
    ]
    closeSync(fd)
    const [first, second] = await Promise.all(calls.map(call => call.catch(error => error)))
    expect(first).toMatchObject({
      name: 'ProtocolError',
      code: 'ERR_FDWIRE_PEER_CLOSED',
      fault: 'peer',
    })
    expect(first.message).toBe(
      "message empty: the service ended before it replied to 'signal_and_hang' (killed by SIGKILL)",
    )
    expect(second).toMatchObject({ name: 'ProtocolError', code: 'ERR_FDWIRE_PEER_CLOSED' })
    expect(await client.stop()).toEqual({ code: null, signal: 'SIGKILL' })
  })

  it('reports the exit code when the service exits during a call', async () => {
    const client = await startService(language)
    await expect(client.call('exit', [3])).rejects.toThrow(/'exit' \(exit code 3\)$/)
    await expect(client.call('echo')).rejects.toThrow(/message empty: the service ended/)
    expect(await client.stop()).toEqual({ code: 3, signal: null })
  })

  it('stops a service that ignores SIGTERM and SIGINT', async () => {
    const client = await startService(language)
    await client.call('echo')
    for (const signal of ['SIGTERM', 'SIGINT'] as const) client.child?.kill(signal)
    expect(await client.call('echo', ['echo'])).toEqual(['echo'])
    expect(await client.stop()).toEqual({ code: 0, signal: null })
  })
})

describe('a Service with a Python client', () => {
  const call = (peer: Peer, name: string, args?: unknown, texts: string[] = []) =>
    peer.request({ op: 'call', name, args, texts })
  const raw = (peer: Peer, message: unknown, count = 0) =>
    peer.request({ op: 'raw', text: JSON.stringify(message), count })

  it('replies to calls and exits at the end of the socket (basic)', async () => {
    const peer = await pythonClient()
    for (const value of [['an', 'argument'], [], null, { key: 'é 😀' }, 'text', 0]) {
      expect(await raw(peer, { type: 'method', data: { name: 'echo', args: value } })).toEqual({
        signals: [],
        type: 'reply',
        value: [value, []],
        data: { reply: value },
      })
    }
    expect((await call(peer, 'echo')).value).toEqual([[], []])
    expect((await call(peer, 'about')).value[0]).toMatchObject({
      id: 'uid',
      argv: ['--more'],
      stdin: '/dev/null',
    })
    expect((await call(peer, 'undefined')).data).toEqual({ reply: null })
    expect(await peer.request({ op: 'stop' })).toEqual({ code: 0 })
  })

  it.each([0, 1, 3, 100])(
    'exchanges descriptors in both directions: %i fds (pass_fd)',
    async count => {
      const peer = await pythonClient()
      const { value: before } = await call(peer, 'open_fds')
      const texts = Array.from({ length: count }, (_, i) => `descriptor ${i}`)
      expect((await call(peer, 'swap', texts, texts)).value).toEqual([texts, texts])
      expect((await call(peer, 'same_fds', [], texts)).value).toEqual([null, texts])
      expect((await call(peer, 'lent_fds', [], texts)).value).toEqual([null, texts])
      expect((await call(peer, 'file_handles', texts)).value).toEqual([null, texts.map(() => '')])
      expect((await call(peer, 'open_fds')).value).toEqual(before)
    },
  )

  it('keeps a descriptor that dispatch has stolen', async () => {
    const peer = await pythonClient()
    expect((await call(peer, 'steal', [], ['stolen'])).value).toEqual([null, []])
    expect((await call(peer, 'kept')).value).toEqual(['stolen', ['stolen']])
  })

  it('sends an exception for a result that cannot be sent (pass_fd_invalid)', async () => {
    const peer = await pythonClient()
    const { value: before } = await call(peer, 'open_fds')
    const exceptionOf = async (name: string, args?: unknown) => {
      const { type, data } = await call(peer, name, args)
      expect(type).toBe('exception')
      return [data.name, data.value]
    }
    expect(await exceptionOf('bad_fd')).toEqual(['Error', expect.stringContaining('EBADF')])
    expect(await exceptionOf('bad_signal')).toEqual(['Error', expect.stringContaining('EBADF')])
    expect(await exceptionOf('unserializable')).toEqual([
      'FdwireError',
      expect.stringContaining('BigInt'),
    ])
    expect(await exceptionOf('function')).toEqual([
      'FdwireError',
      expect.stringContaining('function'),
    ])
    expect(await exceptionOf('invalid_fds')).toEqual([
      'TypeError',
      expect.stringContaining('fds of a reply'),
    ])
    for (const result of [null, 'text', {}, [], [1, [], 3], [1, 2]]) {
      expect((await exceptionOf('invalid_result', [result]))[0]).toBe('TypeError')
    }
    expect((await call(peer, 'open_fds')).value).toEqual(before)
  })

  it('sends the name, value and backtrace of an exception (exception)', async () => {
    const peer = await pythonClient()
    const { type, data } = await call(peer, 'boom')
    expect([type, data.name, data.value]).toEqual(['exception', 'ValueError', 'Remote Exception'])
    expect(data.backtrace).toMatch(/^ {4}at .*service\.mjs/)
    expect((await call(peer, 'throw', ['a text'])).data).toEqual({
      name: 'Error',
      value: 'a text',
      backtrace: '',
    })
    expect((await call(peer, 'nosuch')).data).toMatchObject({
      name: 'ProtocolError',
      value: 'Unknown method',
    })
    expect((await call(peer, 'echo', [1])).value).toEqual([[1], []])
  })

  it('sends signals before the reply, each with its descriptors (signals_on_separate_fd)', async () => {
    const peer = await pythonClient()
    expect(await call(peer, 'signals', ['one', 'two'])).toMatchObject({
      signals: [
        [{ text: 'one' }, ['one']],
        [{ text: 'two' }, ['two']],
        ['last signal', []],
      ],
      value: [2, []],
    })
  })

  it('sends an exception for a malformed request and closes its descriptors', async () => {
    const peer = await pythonClient()
    const { value: before } = await call(peer, 'open_fds')
    const exceptionFor = async (message: unknown) => {
      const { type, data } = await raw(peer, message, 3)
      expect([type, data.name]).toEqual(['exception', 'ProtocolError'])
      return data.value
    }
    expect(await exceptionFor({ type: 'method' })).toBe("'data' field missing")
    expect(await exceptionFor({ type: '', data: { a: 1 } })).toBe("'type' field missing")
    expect(await exceptionFor({ type: 'method', data: {} })).toBe("'data' field missing")
    expect(await exceptionFor({ type: 'method', data: { args: [] } })).toBe("'name' field missing")
    expect(await exceptionFor({ type: 'method', data: { name: 5 } })).toBe(
      "'name' field is not a string",
    )
    expect(await exceptionFor({ type: 'signal', data: { reply: 1 } })).toBe(
      'unknown message type: signal',
    )
    expect(await exceptionFor('text')).toBe('message is not an object')
    expect(await exceptionFor(5)).toBe('message is not an object')
    expect(await exceptionFor([1])).toBe('message is not an object')
    expect((await peer.request({ op: 'raw', text: 'no json', count: 3 })).data).toMatchObject({
      name: 'ProtocolError',
      value: expect.stringContaining('JSON'),
    })
    expect((await call(peer, 'open_fds')).value).toEqual(before)
  })

  it.each(['null', 'false', '0', '""', '[]', '{}'])(
    'ends without a reply at the message %s',
    async text => {
      const peer = await pythonClient()
      await call(peer, 'echo')
      expect(await peer.request({ op: 'raw', text, count: 1 })).toEqual({ signals: [], end: true })
      expect(await peer.request({ op: 'stop' })).toEqual({ code: 0 })
    },
  )

  it('closes its socket when it is killed during a call', async () => {
    const peer = await pythonClient()
    expect(await peer.request({ op: 'call', name: 'signal_and_hang', kill: true })).toEqual({
      signals: [['ready', []]],
      end: true,
    })
    expect(await peer.request({ op: 'stop' })).toEqual({ code: -9 })
  })

  it('ignores SIGTERM and SIGINT and exits at the end of the socket', async () => {
    const peer = await pythonClient()
    await call(peer, 'echo')
    await peer.request({ op: 'signal', number: 15 })
    await peer.request({ op: 'signal', number: 2 })
    expect((await call(peer, 'echo', [1])).value).toEqual([[1], []])
    expect(await peer.request({ op: 'stop' })).toEqual({ code: 0 })
  })
})
