/** What a descriptor refers to. */
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

/** The largest number that a descriptor can have. */
export const MAX_FD = 0x7fff_ffff

/** The most descriptors that Linux passes with one message (SCM_MAX_FD). */
export const MAX_MESSAGE_FDS = 253

/** Whether a value is a valid descriptor number. Only the kernel knows whether it is open. */
export function isDescriptor(fd: unknown): fd is number {
  return typeof fd === 'number' && fd >>> 0 === fd && fd <= MAX_FD
}
