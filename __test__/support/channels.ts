import { closeSync, fstatSync, openSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import {
  bind,
  type Channel,
  type ChannelOptions,
  connect,
  type FdSet,
  type FdSource,
  type Message,
  pair,
} from 'fdwire'
import { afterEach, expect } from 'vitest'
import { fdTargets } from './descriptors.js'

export const JSONCOMM = { protocol: 'jsoncomm' } as const
export const RAW_DGRAM = { protocol: 'raw', type: 'dgram' } as const

/** Datagrams that the kernel queues for a receiver that is not connected to their sender. */
export const KERNEL_QUEUE_LENGTH = 11

const tracked: Channel[] = []
let names = 0

/** Returns whether a descriptor of this process is open. */
export function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

/**
 * Returns how many descriptors of this process refer to `path`.
 *
 * A test that counts uses a device that no other test of its file opens.
 */
export function countOpen(path: string): number {
  return fdTargets().filter(link => link === path).length
}

/** Runs `use` with an open descriptor and closes it afterwards. */
export async function withFd<T>(use: (fd: number) => T | Promise<T>, path = '/dev/null') {
  const fd = openSync(path, 'r')
  try {
    return await use(fd)
  } finally {
    closeSync(fd)
  }
}

/** Destroys every tracked channel after each test. */
export function destroyChannelsAfterEach(): void {
  afterEach(() => {
    for (const channel of tracked.splice(0)) channel.destroy()
  })
}

/** Registers a channel to be destroyed after the test, and returns it. */
export function track<C extends Channel>(channel: C): C {
  tracked.push(channel as Channel)
  return channel
}

/** Returns two connected jsoncomm channels. */
export function channelPair(options: Partial<ChannelOptions<'jsoncomm'>> = {}) {
  const [a, b] = pair({ ...JSONCOMM, ...options })
  return [track(a), track(b)] as const
}

/** Returns a raw datagram channel and the jsoncomm channel it is connected to. */
export async function rawDgramPair(options: Partial<ChannelOptions<'jsoncomm'>> = {}) {
  const receiver = await boundChannel(options)
  const sender = track(
    await connect(receiver.localAddress as string, { ...RAW_DGRAM, maxFds: 253 }),
  )
  return [sender, receiver] as const
}

/** Returns a jsoncomm channel bound to a unique abstract name. */
export async function boundChannel(options: Partial<ChannelOptions<'jsoncomm'>> = {}) {
  return track(await bind(`\0fdwire-test-${process.pid}-${names++}`, { ...JSONCOMM, ...options }))
}

/** Returns a jsoncomm channel connected to `channel`. */
export async function connectTo(
  channel: Channel,
  options: Partial<ChannelOptions<'jsoncomm'>> = {},
) {
  return track(await connect(channel.localAddress as string, { ...JSONCOMM, ...options }))
}

/** Waits for `count` turns of the event loop, each of which reads what is ready. */
export async function loopTurns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate()
}

/** Receives `count` messages, closes their descriptors and returns their values. */
export async function receiveValues(channel: Channel, count: number): Promise<unknown[]> {
  const values: unknown[] = []
  for (let i = 0; i < count; i++) values.push(await receiveValue(channel))
  return values
}

async function receiveValue(channel: Channel): Promise<unknown> {
  const message = (await channel.receive()) as Message
  message.fds.close()
  return message.value
}

/** Sends until a message is queued, and returns how many messages that took. */
export function sendUntilQueued(channel: Channel, options?: { to: string }): number {
  let sent = 1
  while (channel.send(sent, options)) sent++
  return sent
}

/** Matches an error by its code: `'CLOSED'` stands for `ERR_FDWIRE_CLOSED`. */
export function errorWithCode(code: string) {
  return expect.objectContaining({ code: code.startsWith('E') ? code : `ERR_FDWIRE_${code}` })
}

/** Sends `fds` through a pair and returns the set of the received duplicates. */
export async function receivedFdSet(...fds: FdSource[]): Promise<FdSet> {
  const [a, b] = pair({ protocol: 'jsoncomm' })
  a.send('here', { fds })
  const message = await b.receive()
  await Promise.all([a.close(), b.close()])
  return message?.fds as FdSet
}
