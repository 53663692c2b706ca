/** A service when something is wrong; how services are made, started and ended. */
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

/** A descriptor of a device that nothing else here opens. */
const full = () => openSync('/dev/full', 'r')

describe('a service', () => {
  it('whose client goes in the middle ends when its work is done, and keeps no descriptor', async () => {
    const [client, socket] = clientAndSocket()
    const fds: number[] = []
    const service = new InProcessService(socket, async (_, __, given) => {
      await client.stop()
      await expect(service.emitSignal('nobody')).rejects.toEqual(errorWithCode('EPIPE'))
      const fd = full()
      fds.push(fd, given.get(0))
      return [null, [fd]] satisfies Dispatched
    })
    const serving = service.serve()
    const call = withFd(fd => client.callWithFds('m', [], { fds: [fd] }))
    await expect(call).rejects.toEqual(errorWithCode('CLOSED'))
    await serving
    expect(fds.map(isOpen)).toEqual([false, false])
    expect(socket.fileno()).toBe(-1)
  })

  it('answers one request after the other, and what is malformed in its turn', async () => {
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
    const answers: unknown[] = []
    for (let i = 0; i < 5; i++) {
      const { type, data } = JSON.parse(String((await raw.receive())?.value))
      answers.push(type === 'reply' ? data.reply : data.name)
    }
    expect(answers).toEqual(['a', 'ProtocolError', 'ProtocolError', 'b', 'ProtocolError'])
    await raw.close()
    await serving
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('tells of an exception that is too large for a message as much as fits', async () => {
    const [client, socket] = clientAndSocket()
    const serving = new InProcessService(socket, () => {
      throw new RangeError('x'.repeat(1_000_000))
    }).serve()
    const error = await client.call('m').catch(reason => reason)
    expect([error.name, error.value.slice(0, 2_000)]).toEqual(['RangeError', 'x'.repeat(2_000)])
    await client.stop()
    await serving
  })

  it('tells of whatever is thrown, be it an error or not', async () => {
    const [client, socket] = clientAndSocket()
    const things: unknown[] = [
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
      throw things[index]
    }).serve()
    const told: string[] = []
    for (const index of things.keys()) {
      told.push(await client.call('m', index).catch(({ name, value }) => `${name}: ${value}`))
    }
    expect(told).toEqual([
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

  it('a descriptor that is twice in a reply is closed once', async () => {
    const [client, socket] = clientAndSocket()
    let other = -1
    const serving = new InProcessService(socket, () => {
      const fd = full()
      return [null, [fd, fd]]
    }).serve()
    const { fds } = await client.callWithFds('m')
    expect(fds.length).toBe(2)
    fds.close()
    other = full()
    await client.stop()
    await serving
    expect(isOpen(other)).toBe(true)
    closeSync(other)
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('is made of a connected seqpacket socket, and leaves another to its owner', async () => {
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
    const file = full()
    expect(() => new Service({ fd: file })).toThrow(errorWithCode('NOT_A_SOCKET'))
    closeSync(file)
    expect(() => ServiceClient.over({} as never)).toThrow(TypeError)
  })

  it('is made of a command line, what is missing in it is named', async () => {
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

describe('starting', () => {
  it('what can not be started rejects, and leaves nothing', async () => {
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

  it('a process that is no service ends the first call', async () => {
    const client = trackClient(await ServiceClient.start('true'))
    await expect(client.call('m')).rejects.toThrow(/ended before it replied to 'm' \(exit code 0\)/)
  })

  it('its output goes where it is told to', async () => {
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

describe('a manager', () => {
  it('stops its services in the opposite order, each when the one before has ended', async () => {
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

  it('a service has no end of another one’s socket', async () => {
    const manager = new ServiceManager()
    const clients: ServiceClient[] = []
    for (let i = 0; i < 2; i++) {
      clients.push(await manager.start(...serviceCommand('Python')))
      await clients[i]?.call('echo')
    }
    // Else this one would not hear its end as long as the other lives.
    expect(await clients[0]?.stop({ timeout: 0 })).toEqual({ code: 0, signal: null })
    expect(await clients[1]?.call('echo', [1])).toEqual([1])
    await manager.stop()
  })
})

it('a client and a service meet at a path too', async () => {
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
