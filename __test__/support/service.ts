/** Services for tests: processes in either language, and ours in this process. */
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
import { beside, directory, Peer } from './processes.js'

const clients: ServiceClient[] = []

/** Stops the services after their test, and those first that hang. */
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

export function kept(client: ServiceClient): ServiceClient {
  clients.push(client)
  return client
}

export type Language = 'Node' | 'Python'

/** How a service of either language is started. */
export function commandOf(language: Language): [string, string[]] {
  return language === 'Node'
    ? [process.execPath, [beside('support/children/service.mjs'), directory()]]
    : ['python3', ['-B', beside('support/peers/jsoncomm_service.py')]]
}

/** Starts the test service in either language. */
export async function started(language: Language, options?: StartOptions): Promise<ServiceClient> {
  const [command, args] = commandOf(language)
  return kept(await ServiceClient.start(command, args, { stdout: 'ignore', ...options }))
}

/** A client in Python, of our service in Node. */
export async function pythonClient() {
  const peer = new Peer('python3', ['-B', beside('support/peers/jsoncomm_service.py')])
  const [command, args] = commandOf('Node')
  // Its stdout is the peer's own.
  const script = 'exec "$@" >/dev/null'
  await peer.ask({ op: 'start', argv: ['sh', '-c', script, 'sh', command, ...args] })
  return peer
}

/** A service in this process, which does what the test says. */
export class Here extends Service {
  readonly #does: (method: string, args: never, fds: FdSet) => Dispatched | Promise<Dispatched>

  constructor(
    socket: Socket,
    does: (method: string, args: never, fds: FdSet) => Dispatched | Promise<Dispatched>,
  ) {
    super({ socket })
    this.#does = does
  }

  override dispatch(method: string, args: never, fds: FdSet) {
    return this.#does.call(this, method, args, fds)
  }
}

/** A client, and the other end of its socket. */
export function clientAndSocket(): [ServiceClient, Socket] {
  const [ours, theirs] = Socket.newPair({ type: 'seqpacket' })
  return [kept(ServiceClient.over(ours)), theirs]
}

/** A descriptor of a file that holds a text. */
export function file(text: string): number {
  const path = join(directory(), 'file')
  writeFileSync(path, text)
  return openSync(path, 'r')
}
