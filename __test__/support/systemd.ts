/** A service manager in Python for the tests of fdwire/systemd, see `peers/notify.py`. */
import { afterEach } from 'vitest'
import { Peer, testPath } from './processes.js'

/** A notification as the service manager has received it. */
export interface Notification {
  state: string
  /** The kinds of its descriptors: `fifo`, `reg` … */
  kinds: string[]
  /** The process that has sent it, as the kernel says. */
  pid: number
  /** Whether its sender has an address. */
  named: boolean
  truncated: boolean
}

/** Starts a service manager at an address. NOTIFY_SOCKET is that address until the test ends. */
export async function startManager(
  address: string,
  mode: 'report' | 'hold' | 'stop' = 'report',
): Promise<Peer> {
  const manager = new Peer('python3', ['-B', testPath('support/peers/notify.py'), address, mode])
  await manager.receive()
  process.env.NOTIFY_SOCKET = address
  return manager
}

const VARIABLES = [
  'NOTIFY_SOCKET',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_PID',
  'LISTEN_FDS',
  'LISTEN_FDNAMES',
  'LISTEN_PIDFDID',
]

/** Removes the variables of systemd from the environment after each test. */
export function unsetVariablesAfterEach(): void {
  afterEach(() => {
    for (const name of VARIABLES) delete process.env[name]
  })
}
