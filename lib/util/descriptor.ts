/** What a descriptor is. */
export type Kind =
  | 'file'
  | 'directory'
  | 'memfd'
  | 'pipe'
  | 'tty'
  | 'chardev'
  | 'blockdev'
  | 'tcp-listener'
  | 'tcp-socket'
  | 'udp-socket'
  | 'unix-listener'
  | 'unix-stream'
  | 'unix-seqpacket'
  | 'unix-dgram'
  | 'socket'
  | 'eventfd'
  | 'epoll'
  | 'timerfd'
  | 'signalfd'
  | 'inotify'
  | 'pidfd'
  | 'path'
  | 'other'

/** The largest number a descriptor can have. */
export const MAX_FD = 0x7fff_ffff

/** Whether a value can be a descriptor's number; whether one is open is for the kernel to say. */
export function isDescriptor(fd: unknown): fd is number {
  return typeof fd === 'number' && fd >>> 0 === fd && fd <= MAX_FD
}
