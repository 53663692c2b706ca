/** The example of the service protocol runs, and its types are what it is written with. */
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
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'

cleanUpAfterEach()

it('sorter: a service gets a file without a name, and gives one back', async () => {
  const where = temporaryDirectory()
  const child = spawn(process.execPath, [testPath('../examples/sorter/main.mjs')], {
    env: { ...process.env, TMPDIR: where },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  const [story, errors] = await Promise.all([text(child.stdout), text(child.stderr)])
  expect([errors, ...story.split('\n')]).toEqual([
    '',
    'main    I have a file that has no name any more. Only who gets it from me can read it.',
    'main    50 % is done.',
    'main    100 % is done.',
    'main    3 lines are sorted, in a file that the service has made:',
    'apple',
    'pear',
    'plum',
    '',
    'main    Without a file it says RangeError: I sort one file, not 0.',
    'main    The service has ended with 0.',
    '',
  ])
  expect(await ended).toEqual([0, null])
  expect(readdirSync(where)).toEqual([])
})

/** Both ways to override `dispatch`. */
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

// Nothing here is run for its result: what counts is that `tsc --project __test__` accepts it.
describe('the types know', () => {
  it('what a service is', () => {
    expectTypeOf(Async.fromArgs<Async>).returns.toHaveProperty('own')
    expectTypeOf<Sync>().toExtend<Service>()
    expectTypeOf<Service['main']>().returns.toEqualTypeOf<Promise<void>>()
    expectTypeOf<Service['socket']>().toEqualTypeOf<Socket>()
    const wrong = () =>
      class extends Service {
        // @ts-expect-error a result without its pair
        override dispatch() {
          return 5
        }
      }
    expect(wrong).toBeTypeOf('function')
  })

  it('what a call gives', () => {
    expectTypeOf<ServiceClient['call']>().returns.resolves.toBeAny()
    expectTypeOf<ServiceClient['callWithFds']>().returns.resolves.toHaveProperty('fds')
    expectTypeOf<ServiceClient['stop']>().returns.toEqualTypeOf<Promise<Exit | null>>()
    expectTypeOf(ServiceClient.start).returns.resolves.toEqualTypeOf<ServiceClient>()
    expectTypeOf(ServiceClient.over).parameters.toEqualTypeOf<[Socket]>()
    expectTypeOf<ServiceManager['stop']>().returns.toEqualTypeOf<Promise<void>>()
    const wrong = (client: ServiceClient) => {
      // @ts-expect-error descriptors go by callWithFds
      client.call('m', [], { fds: [1] })
      client.callWithFds('m', [], { fds: [1], onSignal: (_: number, fds) => fds.close() })
    }
    expect(wrong).toBeTypeOf('function')
  })

  it('what an error has', () => {
    expectTypeOf<RemoteError>().toHaveProperty('backtrace').toEqualTypeOf<string>()
    expectTypeOf<RemoteError['code']>().toEqualTypeOf<ProtocolError['code']>()
  })

  it('which options a socket has', () => {
    const wrong = () => {
      // @ts-expect-error jsoncomm goes over no stream
      Socket.newPair({ type: 'stream' })
      // @ts-expect-error the socket has its type
      Socket.newFromFd(3, { type: 'dgram' })
      // @ts-expect-error what a Socket decides itself
      Socket.newServer('path', { protocol: 'jsoncomm' })
      Socket.newServer('path', { type: 'seqpacket', backlog: 5, mode: 0o666 })
      Socket.newFromFd(3, { closeFd: false, maxMessage: 10 })
    }
    expect(wrong).toBeTypeOf('function')
    expectTypeOf<Socket['accept']>().returns.resolves.toEqualTypeOf<Socket | null>()
    expectTypeOf(FdSet.fromList).returns.toEqualTypeOf<FdSet>()
  })
})
