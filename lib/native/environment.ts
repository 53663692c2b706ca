import * as addon from '#native'
import { systemError } from '../util/errors.js'
import { block, slab, table } from './memory.js'

/**
 * The functions that are called for each message or connection.
 *
 * `crates/node/src/hot.rs` implements them as raw N-API functions. Calling one costs a tenth of
 * calling a method of a napi class.
 */
interface Hot {
  /**
   * Sends a text with the first `fds` descriptors of the shared table (0).
   *
   * Returns undefined if the kernel has taken it, or if the queue has no more bytes than the
   * high-water mark. Otherwise returns the number of the queued message, which is positive.
   */
  sendText(channel: number, text: string, fds?: number, to?: string | Uint8Array): Result
  /** Sends bytes, as `sendText` sends a text. */
  sendBytes(channel: number, bytes: ArrayBufferView, fds?: number, to?: string | Uint8Array): Result
  /** Sends each element of a JSON array. Writes the number of accepted elements into the table. */
  sendMany(channel: number, array: string, to?: string | Uint8Array): Result
  /** Queues the first `count` gathered messages. `texts` are those that are text. */
  queue(count: number, texts: string): Result
  /** Queues them, and sends what streams have queued. Returns 1 if one still has a queue. */
  flush(count: number, texts: string): Result
  /** Closes a descriptor that an FdSet owns. `channel` is the one that received it, or -1. */
  closeFd(channel: number, fd: number): Result
  /** Closes the first `count` descriptors of the shared table, as `closeFd` closes one. */
  closeFds(channel: number, count: number): Result
  /** Releases a descriptor that an FdSet owns. */
  takeFd(channel: number, fd: number): Result
  /**
   * Closes the first `count` descriptors of the shared table at once: those of TCP connections that
   * are in a sent message.
   */
  closeSent(count: number): Result
  /** Returns 1 if a descriptor is a TCP socket. */
  isTcp(fd: number): Result
  /**
   * Sets whether messages are read from the socket of a channel: 0: no, 1: yes, 2: yes, and a call
   * waits for one.
   */
  setReading(channel: number, reading: number): Result
  /** Sends what a stream has queued. */
  flushChannel(channel: number): Result
  /**
   * Prepares a connection for its close. Returns 1 if a record will report the peer's end, which the
   * close has to wait for.
   */
  shutDown(channel: number, peerEnded: number): Result
  /**
   * Discards the unread input of a channel, closes it and writes its last counters. Returns 1 and
   * does nothing if messages are queued, or if its TCP peer has not ended (`peerEnded` is 0).
   */
  closeIfIdle(channel: number, peerEnded: number): Result
  /** Writes the counters of a channel into the shared table. */
  stats(channel: number): Result
  /** Closes a channel or a listener. Writes the last counters of a channel. */
  close(channel: number): Result
  /**
   * Connects a Unix stream socket with the options of `prepareConnect`. Returns the index of its
   * channel; undefined for index 0. `flush` must be called before the event loop waits.
   */
  connect(address: string | Uint8Array): Result
  /** Sets how many more connections a listener may accept. */
  allow(listener: number, connections: number): Result
  /** Sets whether the channels and listeners keep the process alive (0 or 1). */
  setRef(referenced: number): Result
}

/** Success: undefined or a positive number. Failure: a negated errno or another negative code. */
type Result = number | undefined

/** The JavaScript side of a channel or listener of the addon. */
export interface Receiver {
  /**
   * Handles the records of a turn, which are in the shared table. With 0 records it continues with
   * those that the previous call left because a listener threw.
   */
  onTurn(records: number): void
}

/** The receivers, by index. The array has no holes: reading a hole searches its prototypes. */
const receivers: (Receiver | undefined)[] = []

/** Returns the receivers of the open channels and listeners. */
export function openReceivers(): Receiver[] {
  return receivers.filter(receiver => receiver !== undefined)
}

/** The turn whose records are being handled. */
export const turnOfThread = {
  isRunning: false,
  /** Is called once the records are handled. */
  onEnd: undefined as (() => void) | undefined,
}

/** The channels and listeners of this thread in the addon. Its methods throw a SystemError. */
export const environment = new addon.Environment(
  slab,
  table,
  block,
  (channel, records) => {
    if (channel >= receivers.length) return
    turnOfThread.isRunning = true
    try {
      receivers[channel]?.onTurn(records)
    } finally {
      const { onEnd } = turnOfThread
      turnOfThread.isRunning = false
      turnOfThread.onEnd = undefined
      onEnd?.()
    }
  },
  systemError,
)

/** The hot functions of the environment. */
export const hot = environment.hot() as Hot

let prepared: addon.ChannelOptions | undefined

/**
 * Connects a Unix stream socket that is not bound. Returns the index of its channel, or a negative
 * number if that fails: `environment.connectUnix` throws the error. The caller must call
 * `flushSoon`, which registers the socket with epoll.
 *
 * Native code converts the options only if they are not those of the previous call.
 */
export function tryConnect(address: string | Uint8Array, options: addon.ChannelOptions): number {
  if (options !== prepared) {
    environment.prepareConnect(options)
    prepared = options
  }
  return hot.connect(address) ?? 0
}

/** The number of channels and listeners that keep the process alive. */
let referenced = 0

function setReceiver(channel: number, receiver: Receiver | undefined): void {
  while (receivers.length < channel) receivers.push(undefined)
  receivers[channel] = receiver
}

/** Sets the receiver of the records of a channel or listener. */
export function register(channel: number, receiver: Receiver): void {
  setReceiver(channel, receiver)
}

/** Removes the receiver of a channel or listener that native code has closed. */
export function forget(channel: number): void {
  setReceiver(channel, undefined)
}

/** Closes a channel or listener. */
export function unregister(channel: number): void {
  setReceiver(channel, undefined)
  hot.close(channel)
}

/** Removes a channel and returns the descriptor of its socket, which stays open. */
export function release(channel: number): number {
  setReceiver(channel, undefined)
  return environment.detach(channel)
}

/** Adds 1 or -1 to the number of channels and listeners that keep the process alive. */
export function countReferenced(by: number): void {
  const before = referenced
  referenced += by
  if (before === 0) hot.setRef(1)
  else if (referenced === 0) hot.setRef(0)
}

process.on('exit', () => {
  // process.exit() ends the main thread without ending its environment.
  environment.unlinkAll()
})
