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
import { links } from './descriptors.js'

export const JSONCOMM = { protocol: 'jsoncomm' } as const
export const RAW = { protocol: 'raw', type: 'dgram' } as const

/** How many datagrams the kernel queues for a receiver that is not connected to their sender. */
export const KERNEL_QUEUE = 11

const made: Channel[] = []
let names = 0

/** Whether a descriptor is open. */
export function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

/** How many descriptors are open on a device; each test has one of its own to count. */
export function opened(path: string): number {
  return links().filter(link => link === path).length
}

/** Runs `use` with a descriptor, and closes it. */
export async function withFd<T>(use: (fd: number) => T | Promise<T>, path = '/dev/null') {
  const fd = openSync(path, 'r')
  try {
    return await use(fd)
  } finally {
    closeSync(fd)
  }
}

/** Ends every channel after its test. */
export function cleanUp(): void {
  afterEach(() => {
    for (const channel of made.splice(0)) channel.destroy()
  })
}

/** Has a channel destroyed after the test. */
export function keep<C extends Channel>(channel: C): C {
  made.push(channel as Channel)
  return channel
}

/** Two connected channels. */
export function twoOf(options: Partial<ChannelOptions<'jsoncomm'>> = {}) {
  const [a, b] = pair({ ...JSONCOMM, ...options })
  return [keep(a), keep(b)] as const
}

/** Two connected channels, one that sends any bytes and one that takes them for JSON. */
export async function bytesTo(options: Partial<ChannelOptions<'jsoncomm'>> = {}) {
  const receiver = await bound(options)
  const sender = keep(await connect(receiver.localAddress as string, { ...RAW, maxFds: 253 }))
  return [sender, receiver] as const
}

/** A channel that is bound to an abstract name. */
export async function bound(options: Partial<ChannelOptions<'jsoncomm'>> = {}) {
  return keep(await bind(`\0fdwire-test-${process.pid}-${names++}`, { ...JSONCOMM, ...options }))
}

/** A channel that is connected to another. */
export async function connectedTo(
  channel: Channel,
  options: Partial<ChannelOptions<'jsoncomm'>> = {},
) {
  return keep(await connect(channel.localAddress as string, { ...JSONCOMM, ...options }))
}

/** Some turns of the loop, in which whatever is ready is read. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await setImmediate()
}

/** The values of the next messages by `receive()`. */
export async function take(channel: Channel, count: number): Promise<unknown[]> {
  const values: unknown[] = []
  for (let i = 0; i < count; i++) values.push(await takeOne(channel))
  return values
}

async function takeOne(channel: Channel): Promise<unknown> {
  const message = (await channel.receive()) as Message
  message.fds.close()
  return message.value
}

/** Sends until something is queued; how many that took. */
export function fill(channel: Channel, options?: { to: string }): number {
  let sent = 1
  while (channel.send(sent, options)) sent++
  return sent
}

/** An error of ours with this code. */
export function coded(code: string) {
  return expect.objectContaining({ code: code.startsWith('E') ? code : `ERR_FDWIRE_${code}` })
}

/** A set of descriptors that came in a message, as copies of these. */
export async function received(...fds: FdSource[]): Promise<FdSet> {
  const [a, b] = pair({ protocol: 'jsoncomm' })
  a.send('here', { fds })
  const message = await b.receive()
  await Promise.all([a.close(), b.close()])
  return message?.fds as FdSet
}
