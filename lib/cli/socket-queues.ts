import { spawnSync } from 'node:child_process'

/** The length of the queues of a socket, in the units of ss(8). */
export interface Queue {
  received: number
  sent: number
}

/**
 * Returns the queues of Unix sockets by inode; undefined without ss(8), which asks the kernel by
 * sock_diag(7). Node cannot open the netlink socket that this takes.
 */
export function queues(): Map<number, Queue> | undefined {
  const { status, stdout } = spawnSync('ss', ['-x', '-a', '-n', '-H'], { encoding: 'utf8' })
  if (status !== 0) return undefined
  const result = new Map<number, Queue>()
  for (const line of stdout.split('\n')) {
    const [, , received, sent, , inode] = line.trim().split(/\s+/)
    if (inode !== undefined) {
      result.set(Number(inode), { received: Number(received), sent: Number(sent) })
    }
  }
  return result
}
