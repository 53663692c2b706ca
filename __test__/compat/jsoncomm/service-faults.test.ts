/** Faults of a Service; how services are constructed, started and stopped. */
import { closeSync, openSync } from 'node:fs'
import { connect, pair } from 'fdwire'
import { type Dispatched, Service, ServiceClient, ServiceManager, Socket } from 'fdwire/jsoncomm'
import { describe, expect, it } from 'vitest'
import { countOpen, errorWithCode, isOpen, withFd } from '../../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'
import {
  cleanUpServices,
  clientAndSocket,
  InProcessService,
  serviceCommand,
  trackClient,
} from '../../support/service.js'

cleanUpAfterEach()
cleanUpServices()

/** Opens a device that nothing else in this file opens. */
const openFull = () => openSync('/dev/full', 'r')

describe('a Service', () => {
  it('whose client disconnects during a call ends after the call and closes all descriptors', async () => {
    const [client, socket] = clientAndSocket()
    const fds: number[] = []
    const service = new InProcessService(socket, async (_, __, received) => {
      await client.stop()
      await expect(service.emitSignal('no client')).rejects.toEqual(errorWithCode('EPIPE'))
      const fd = openFull()
      fds.push(fd, received.get(0))
      return [null, [fd]] satisfies Dispatched
    })
    const serving = service.serve()
    const call = withFd(fd => client.callWithFds('m', [], { fds: [fd] }))
    await expect(call).rejects.toEqual(errorWithCode('CLOSED'))
    await serving
    expect(fds.map(isOpen)).toEqual([false, false])
    expect(socket.fileno()).toBe(-1)
  })

  it('replies to requests and malformed messages in order', async () => {
    const [raw, other] = pair({ protocol: 'raw', type: 'seqpacket', maxFds: 1 })
    const service = new InProcessService(Socket.newFromFd(other.detach()), async name => {
      await new Promise(setImmediate)
      return [name]
    })
    const serving = service.serve()
    const method = (name: string) => JSON.stringify({ type: 'method', data: { name } })
    for (const text of [method('a'), '{', '', method('b'), '\xff']) {
      await withFd(fd => raw.send(Buffer.from(text, 'latin1'), { fds: [fd] }), '/dev/full')
    }
    const replies: unknown[] = []
    for (let i = 0; i < 5; i++) {
      const { type, data } = JSON.parse(String((await raw.receive())?.value))
      replies.push(type === 'reply' ? data.reply : data.name)
    }
    expect(replies).toEqual(['a', 'ProtocolError', 'ProtocolError', 'b', 'ProtocolError'])
    await raw.close()
    await serving
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('truncates an exception that is too large for a message', async () => {
    const [client, socket] = clientAndSocket()
    const serving = new InProcessService(socket, () => {
      throw new RangeError('x'.repeat(1_000_000))
    }).serve()
    const error = await client.call('m').catch(reason => reason)
    expect([error.name, error.value.slice(0, 2_000)]).toEqual(['RangeError', 'x'.repeat(2_000)])
    await client.stop()
    await serving
  })

  it('sends an exception for any thrown value', async () => {
    const [client, socket] = clientAndSocket()
    const values: unknown[] = [
      undefined,
      null,
      5,
      Symbol('odd'),
      Object.create(null),
      new Proxy(new Error('x'), {
        get() {
          throw new Error('from inside')
        },
      }),
    ]
    const serving = new InProcessService(socket, (_, index) => {
      throw values[index]
    }).serve()
    const exceptions: string[] = []
    for (const index of values.keys()) {
      exceptions.push(await client.call('m', index).catch(({ name, value }) => `${name}: ${value}`))
    }
    expect(exceptions).toEqual([
      'Error: undefined',
      'Error: null',
      'Error: 5',
      'Error: Symbol(odd)',
      'Error: An exception that cannot be read',
      'Error: An exception that cannot be read',
    ])
    await client.stop()
    await serving
  })

  it('closes a descriptor that occurs twice in a reply only once', async () => {
    const [client, socket] = clientAndSocket()
    let other = -1
    const serving = new InProcessService(socket, () => {
      const fd = openFull()
      return [null, [fd, fd]]
    }).serve()
    const { fds } = await client.callWithFds('m')
    expect(fds.length).toBe(2)
    fds.close()
    other = openFull()
    await client.stop()
    await serving
    expect(isOpen(other)).toBe(true)
    closeSync(other)
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('accepts only a connected seqpacket socket, and leaves another socket open', async () => {
    expect(() => new Service({})).toThrow(/needs an fd or a socket/)
    expect(() => new Service({ nonsense: 1 } as never)).toThrow(TypeError)
    for (const type of ['dgram', 'seqpacket'] as const) {
      const [a, b] = Socket.newPair({ type })
      if (type === 'dgram') {
        expect(() => new Service({ socket: a })).toThrow(TypeError)
        expect(() => ServiceClient.over(a)).toThrow(TypeError)
        const fd = b.channel.detach()
        expect(() => new Service({ fd })).toThrow(errorWithCode('WRONG_SOCKET'))
        closeSync(fd)
      } else {
        const { socket } = new Service({ fd: b.channel.detach() })
        expect(socket.type).toBe('seqpacket')
        await socket.close()
      }
      await a.close()
    }
    const path = `${temporaryDirectory()}/socket`
    const server = await Socket.newServer(path, { type: 'seqpacket' })
    expect(() => new Service({ socket: server })).toThrow(TypeError)
    expect(() => new Service({ fd: server.fileno() })).toThrow(errorWithCode('WRONG_SOCKET'))
    await server.close()
    const file = openFull()
    expect(() => new Service({ fd: file })).toThrow(errorWithCode('NOT_A_SOCKET'))
    closeSync(file)
    expect(() => ServiceClient.over({} as never)).toThrow(TypeError)
  })

  it('can be constructed from a command line, and names a missing option', async () => {
    const [a, b] = Socket.newPair({ type: 'seqpacket' })
    const fd = b.channel.detach()
    const line = ['node', '--service-fd', String(fd), '--more', '--service-id=the id', 'x']
    const service = InProcessService.fromArgs.call(Service, line)
    expect([service.id, service.args, service.socket.fileno()]).toEqual([
      'the id',
      ['node', '--more', 'x'],
      fd,
    ])
    await service.socket.close()
    await a.close()
    expect(() => Service.fromArgs([])).toThrow(/^--service-fd is missing/)
    expect(() => Service.fromArgs(['--service-fd', '3'])).toThrow(/^--service-id is missing/)
    expect(() => Service.fromArgs(['--service-id'])).toThrow(/^--service-id is missing/)
    expect(() => Service.fromArgs(['--service-fd', 'x', '--service-id', 'i'])).toThrow(/not 'x'/)
  })
})

describe('ServiceClient.start', () => {
  it('rejects for a missing program, an invalid argument or an unknown option', async () => {
    const absent = ServiceClient.start('/nowhere/at/all')
    await expect(absent).rejects.toEqual(errorWithCode('ENOENT'))
    await expect(ServiceClient.start('true', [], { cwd: '/nowhere' })).rejects.toEqual(
      errorWithCode('ENOENT'),
    )
    await expect(ServiceClient.start('tr\0ue')).rejects.toThrow(/null bytes/)
    await expect(ServiceClient.start('true', [], { stdin: 'pipe' } as never)).rejects.toThrow(
      /no option stdin/,
    )
    await expect(ServiceClient.start('true', [], { stdout: 'ipc' as never })).rejects.toThrow(
      TypeError,
    )
  })

  it('starts a process whose exit rejects the first call', async () => {
    const client = trackClient(await ServiceClient.start('true'))
    await expect(client.call('m')).rejects.toThrow(/ended before it replied to 'm' \(exit code 0\)/)
  })

  it('passes the option stdout to the process', async () => {
    const [command, args] = serviceCommand('Node')
    const client = trackClient(
      await ServiceClient.start(command, args, { id: 'one', stdout: 'pipe' }),
    )
    const { stdout } = client.child as NonNullable<ServiceClient['child']>
    let output = ''
    stdout?.setEncoding('utf8').on('data', text => {
      output += text
    })
    const ended = new Promise(resolve => stdout?.once('close', resolve))
    await client.call('echo')
    await client.stop()
    await ended
    expect(output).toBe('one stopped\n')
  })
})

describe('a ServiceManager', () => {
  it('stops its services one after the other in reverse order', async () => {
    const manager = new ServiceManager()
    const order: string[] = []
    for (const id of ['one', 'two', 'three']) {
      const [command, args] = serviceCommand(id === 'two' ? 'Python' : 'Node')
      const client = await manager.start(command, args, { id, stdout: 'ignore' })
      client.exited?.then(() => order.push(id))
      await client.call('echo')
    }
    await expect(manager.start('true', [], { id: 'two' })).rejects.toThrow(/'two' already exists/)
    await expect(manager.start('/nowhere/at/all')).rejects.toEqual(errorWithCode('ENOENT'))
    const late = manager.start('true', [], { id: 'late' })
    await manager[Symbol.asyncDispose]()
    await expect(manager.start('true')).rejects.toEqual(errorWithCode('CLOSED'))
    expect(order).toEqual(['three', 'two', 'one'])
    expect((await late).socket.fileno()).toBe(-1)
  })

  it('does not leak the socket of one service into another', async () => {
    const manager = new ServiceManager()
    const clients: ServiceClient[] = []
    for (let i = 0; i < 2; i++) {
      clients.push(await manager.start(...serviceCommand('Python')))
      await clients[i]?.call('echo')
    }
    // A leaked socket would keep this service from seeing the end while the other one runs.
    expect(await clients[0]?.stop({ timeout: 0 })).toEqual({ code: 0, signal: null })
    expect(await clients[1]?.call('echo', [1])).toEqual([1])
    await manager.stop()
  })
})

describe('ServiceClient.over', () => {
  it('connects a client and a service by a path', async () => {
    const path = `${temporaryDirectory()}/socket`
    const server = await Socket.newServer(path, { type: 'seqpacket' })
    const client = trackClient(
      ServiceClient.over(await Socket.newClient(path, { type: 'seqpacket' })),
    )
    const serving = new InProcessService((await server.accept()) as Socket, name => [name]).serve()
    expect(await client.call('hello')).toBe('hello')
    expect([client.id, client.child, client.exited]).toEqual([undefined, undefined, undefined])
    await client.stop()
    await serving
    await server.close()
    await expect(connect(path, { protocol: 'raw', type: 'seqpacket' })).rejects.toEqual(
      errorWithCode('ENOENT'),
    )
  })
})
