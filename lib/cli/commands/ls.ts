import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type UnixSocket, unixSockets } from '../address.js'
import { EXIT, type Run } from '../command.js'
import { queues } from '../socket-queues.js'
import { table } from '../table.js'

interface Owner {
  pid: number
  command: string
}

/** `fdwire ls`: lists the Unix sockets of this network namespace. */
export const run: Run = async (args, printer) => {
  const [filter = ''] = args.positionals
  const sockets = unixSockets().filter(({ name }) =>
    args.flag('all') ? (name ?? '').includes(filter) : name?.includes(filter),
  )
  const owners = findOwners()
  const lengths = queues()
  const rows = sockets.map(socket => {
    const { type, inode, name } = socket
    const processes = owners.get(inode) ?? []
    const queue = lengths?.get(inode)
    printer.print({ type, state: stateOf(socket), name: name ?? null, inode, ...queue, processes })
    return [
      type,
      stateOf(socket),
      queue === undefined ? '-' : String(queue.received),
      queue === undefined ? '-' : String(queue.sent),
      processes.map(({ pid, command }) => `${command}[${pid}]`).join(',') || '-',
      name ?? '-',
    ]
  })
  if (!printer.isJson) {
    for (const line of table([
      ['TYPE', 'STATE', 'RECV-Q', 'SEND-Q', 'PROCESS', 'ADDRESS'],
      ...rows,
    ])) {
      printer.print({}, line)
    }
  }
  return EXIT.ok
}

function stateOf({ type, isListening, isConnected, name }: UnixSocket): string {
  if (isListening) return 'listening'
  // The kernel calls a datagram socket connected as soon as another one has connected to it.
  if (type === 'dgram') return name === undefined ? 'unbound' : 'bound'
  return isConnected ? 'connected' : 'closed'
}

/** Returns the processes that have each socket open. Those of other users are hidden. */
function findOwners(): Map<number, Owner[]> {
  const owners = new Map<number, Owner[]>()
  for (const name of readdirSync('/proc').filter(one => /^\d+$/.test(one))) {
    const seen = new Set<number>()
    try {
      const command = readFileSync(`/proc/${name}/comm`, 'utf8').trim()
      for (const fd of readdirSync(`/proc/${name}/fd`)) {
        const inode = inodeOf(`/proc/${name}/fd/${fd}`)
        if (inode === undefined || seen.has(inode)) continue
        seen.add(inode)
        const list = owners.get(inode) ?? []
        list.push({ pid: Number(name), command })
        owners.set(inode, list)
      }
    } catch {
      // The process has exited, or belongs to another user.
    }
  }
  return owners
}

function inodeOf(link: string): number | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(link))?.[1]
    return inode === undefined ? undefined : Number(inode)
  } catch {
    return undefined
  }
}
