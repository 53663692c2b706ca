/** Options of sockets, which Node cannot read: another process does. */
import { execFileSync } from 'node:child_process'

/** Options of level SOL_SOCKET. */
export const SO_PASSCRED = 16
export const SO_PASSRIGHTS = 83

/** Returns the value of an option of a socket. */
export function socketOption(fd: number, option: number): number {
  return Number(inPython(fd, `print(s.getsockopt(1, ${option}))`))
}

/** Sets an option of a socket. */
export function setSocketOption(fd: number, option: number, value: number): void {
  inPython(fd, `s.setsockopt(1, ${option}, ${value})`)
}

function inPython(fd: number, statement: string): string {
  const code = `import socket; s = socket.socket(fileno=3); ${statement}; s.detach()`
  return execFileSync('python3', ['-c', code], {
    stdio: ['ignore', 'pipe', 'inherit', fd],
    encoding: 'utf8',
  })
}
