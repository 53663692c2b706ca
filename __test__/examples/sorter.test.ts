/** examples/sorter, which uses the service protocol, and the types of fdwire/jsoncomm. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import {
  type Dispatched,
  type Exit,
  FdSet,
  type ProtocolError,
  type RemoteError,
  Service,
  ServiceClient,
  type ServiceManager,
  Socket,
} from 'fdwire/jsoncomm'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const file = useExample('sorter')

describe('the sorter example', () => {
  it('sends an unlinked file to a service and receives a sorted one', async () => {
    const directory = temporaryDirectory()
    const child = spawn(process.execPath, [file('main')], {
      env: { ...process.env, TMPDIR: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const ended = once(child, 'close')
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
    expect([errors, ...output.split('\n')]).toEqual([
      '',
      'main    I have a file without a name. A process can read it only if I send it the descriptor.',
      'main    50 % is done.',
      'main    100 % is done.',
      'main    3 lines are sorted, in a file that the service has created:',
      'apple',
      'pear',
      'plum',
      '',
      'main    Without a file it throws RangeError: Expected one file to sort, not 0',
      'main    The service has exited with code 0.',
      '',
    ])
    expect(await ended).toEqual([0, null])
    expect(readdirSync(directory)).toEqual([])
  })
})

/** The two ways to override `dispatch`. */
class Sync extends Service {
  override dispatch(method: string, args: number[], fds: FdSet): Dispatched {
    return [method.length + args.length, fds]
  }
}
class Async extends Service {
  readonly own = true
  override async dispatch(method: string) {
    return [method] as const
  }
}

// `tsc --project __test__` checks these; at run time they assert nothing.
describe('the types of fdwire/jsoncomm', () => {
  it('describe a service and its subclasses', () => {
    expectTypeOf(Async.fromArgs<Async>).returns.toHaveProperty('own')
    expectTypeOf<Sync>().toExtend<Service>()
    expectTypeOf<Service['main']>().returns.toEqualTypeOf<Promise<void>>()
    expectTypeOf<Service['socket']>().toEqualTypeOf<Socket>()
    const wrong = () =>
      class extends Service {
        // @ts-expect-error the result must be an array of a value and its descriptors
        override dispatch() {
          return 5
        }
      }
    expect(wrong).toBeTypeOf('function')
  })

  it('describe the result of a call', () => {
    expectTypeOf<ServiceClient['call']>().returns.resolves.toBeAny()
    expectTypeOf<ServiceClient['callWithFds']>().returns.resolves.toHaveProperty('fds')
    expectTypeOf<ServiceClient['stop']>().returns.toEqualTypeOf<Promise<Exit | null>>()
    expectTypeOf(ServiceClient.start).returns.resolves.toEqualTypeOf<ServiceClient>()
    expectTypeOf(ServiceClient.over).parameters.toEqualTypeOf<[Socket]>()
    expectTypeOf<ServiceManager['stop']>().returns.toEqualTypeOf<Promise<void>>()
    const wrong = (client: ServiceClient) => {
      // @ts-expect-error call() takes no descriptors, callWithFds() does
      client.call('m', [], { fds: [1] })
      client.callWithFds('m', [], { fds: [1], onSignal: (_: number, fds) => fds.close() })
    }
    expect(wrong).toBeTypeOf('function')
  })

  it('describe the members of an error', () => {
    expectTypeOf<RemoteError>().toHaveProperty('backtrace').toEqualTypeOf<string>()
    expectTypeOf<RemoteError['code']>().toEqualTypeOf<ProtocolError['code']>()
  })

  it('allow only the options of each socket constructor', () => {
    const wrong = () => {
      // @ts-expect-error jsoncomm does not run over streams
      Socket.newPair({ type: 'stream' })
      // @ts-expect-error an existing socket has a type already
      Socket.newFromFd(3, { type: 'dgram' })
      // @ts-expect-error Socket sets the protocol itself
      Socket.newServer('path', { protocol: 'jsoncomm' })
      Socket.newServer('path', { type: 'seqpacket', backlog: 5, mode: 0o666 })
      Socket.newFromFd(3, { closeFd: false, maxMessage: 10 })
    }
    expect(wrong).toBeTypeOf('function')
    expectTypeOf<Socket['accept']>().returns.resolves.toEqualTypeOf<Socket | null>()
    expectTypeOf(FdSet.fromList).returns.toEqualTypeOf<FdSet>()
  })
})
