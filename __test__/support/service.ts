/** jsoncomm services for tests: child processes in Node or Python, and services in this process. */
import { openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Dispatched,
  type FdSet,
  Service,
  ServiceClient,
  Socket,
  type StartOptions,
} from 'fdwire/jsoncomm'
import { afterEach } from 'vitest'
import { Peer, temporaryDirectory, testPath } from './processes.js'

const clients: ServiceClient[] = []

/** Kills the child process of every tracked client after each test, and stops the client. */
export function cleanUpServices(): void {
  afterEach(async () => {
    await Promise.all(
      clients.splice(0).map(client => {
        client.child?.kill('SIGKILL')
        return client.stop()
      }),
    )
  })
}

/** Registers a client to be stopped after the test, and returns it. */
export function trackClient(client: ServiceClient): ServiceClient {
  clients.push(client)
  return client
}

export type Language = 'Node' | 'Python'

/** Returns the command that starts the test service in a language. */
export function serviceCommand(language: Language): [string, string[]] {
  return language === 'Node'
    ? [process.execPath, [testPath('support/children/service.mjs'), temporaryDirectory()]]
    : ['python3', ['-B', testPath('support/peers/jsoncomm_service.py')]]
}

/** Starts the test service and returns its client. */
export async function startService(
  language: Language,
  options?: StartOptions,
): Promise<ServiceClient> {
  const [command, args] = serviceCommand(language)
  return trackClient(await ServiceClient.start(command, args, { stdout: 'ignore', ...options }))
}

/** Starts a Python client that has started the test service in Node. */
export async function pythonClient() {
  const peer = new Peer('python3', ['-B', testPath('support/peers/jsoncomm_service.py')])
  const [command, args] = serviceCommand('Node')
  // The service inherits the peer's stdout, which carries the control protocol.
  const script = 'exec "$@" >/dev/null'
  await peer.request({ op: 'start', argv: ['sh', '-c', script, 'sh', command, ...args] })
  return peer
}

/** A service in this process whose `dispatch` is a function of the test. */
export class InProcessService extends Service {
  readonly #handler: (method: string, args: never, fds: FdSet) => Dispatched | Promise<Dispatched>

  constructor(
    socket: Socket,
    handler: (method: string, args: never, fds: FdSet) => Dispatched | Promise<Dispatched>,
  ) {
    super({ socket })
    this.#handler = handler
  }

  override dispatch(method: string, args: never, fds: FdSet) {
    return this.#handler.call(this, method, args, fds)
  }
}

/** Returns a client and the socket it is connected to. */
export function clientAndSocket(): [ServiceClient, Socket] {
  const [ours, theirs] = Socket.newPair({ type: 'seqpacket' })
  return [trackClient(ServiceClient.over(ours)), theirs]
}

/** Opens a new file that contains `text`. */
export function openTextFile(text: string): number {
  const path = join(temporaryDirectory(), 'file')
  writeFileSync(path, text)
  return openSync(path, 'r')
}
