import { EventEmitter } from 'node:events'
import type { BlockList, Server, Socket } from 'node:net'
import { checkCallOptions } from '../options/calls.js'
import { checkTimeout } from '../options/wait.js'
import { checkInteger, describeValue } from '../util/checks.js'
import { FdwireError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { nextTick } from '../util/timers.js'
import { Attachment } from './attach.js'
import { Connection, familyOf } from './connection.js'
import { type AnyChannel, checkMeta } from './messages.js'
import { MAX_HEAD, Peeks } from './peeks.js'
import { closePending, firstBytes, type Pending } from './pending.js'
import { leastConnections, roundRobin, type Strategy } from './strategies.js'
import { takeConnection } from './take.js'
import { WaitingList } from './waiting.js'
import { type DispatchWorker, flush, give, makeWorker, release, type WorkerHost } from './worker.js'

/** Chooses the worker of a connection. If it returns undefined, the connection is closed. */
export type Pick = (connection: Connection, head: Buffer) => DispatchWorker | undefined

/** Options of a {@link Dispatcher}. */
export interface DispatcherOptions {
  /** How the worker of a connection is chosen (`'round-robin'`). */
  pick?: 'round-robin' | 'least-connections' | Pick | undefined
  /** The number of bytes to wait for before `pick` is called (bytes, 0; at most 16,384). */
  peek?: number | undefined
  /**
   * How long to wait for these bytes (ms, 10,000; 0: no limit). Then `pick` gets those that have
   * arrived.
   */
  peekTimeout?: number | undefined
  /** The most connections that wait for a worker that is not full (1,024). */
  maxWaiting?: number | undefined
  /** How long a connection waits for a worker that is not full (ms, 10,000; 0: no limit). */
  waitTimeout?: number | undefined
}

/** What `dispatch` passes on with a connection. */
export interface DispatchOptions {
  /** Bytes that the caller has already read from the connection. */
  head?: Uint8Array | undefined
  /** A JSON value for `onMeta` in the worker. */
  meta?: unknown
}

/** Why connections were closed. */
export interface DroppedConnection {
  /**
   * `'pick'`: `pick` returned undefined or threw. `'timeout'`: the connection waited for longer than
   * `waitTimeout`. `'overload'`: `maxWaiting` others waited. `'failed'`: the connection has failed, or
   * cannot be sent. `'refused'`: the worker had no free descriptor.
   */
  reason: 'pick' | 'timeout' | 'overload' | 'failed' | 'refused'
  /** The error, if there was one. */
  error?: unknown
}

/** The events of a dispatcher and their arguments. */
export interface DispatcherEvents {
  /** A connection was closed without reaching a worker. */
  drop: [dropped: DroppedConnection]
  /** A worker has ended, and was removed. */
  remove: [worker: DispatchWorker, error: Error | undefined]
}

/** A connection that waits until a worker is not full; undefined: any worker. */
interface Waiting {
  readonly connection: Pending
  readonly worker: DispatchWorker | undefined
}

const OPTIONS = ['pick', 'peek', 'peekTimeout', 'maxWaiting', 'waitTimeout']
const TIMEOUT = 10_000

/**
 * Passes accepted connections on to worker processes, which serve them.
 *
 * docs/dispatch.md describes it.
 */
export class Dispatcher extends EventEmitter<DispatcherEvents> {
  readonly #strategy: Strategy
  readonly #pick: Pick | undefined
  readonly #peeks: Peeks | undefined
  readonly #maxWaiting: number
  readonly #waiting: WaitingList<Waiting>
  readonly #workers: DispatchWorker[] = []
  readonly #attachments = new Set<Attachment>()
  /** The workers that have connections to send. */
  #unflushed: DispatchWorker[] = []
  #isFlushScheduled = false
  #isClosed = false

  /**
   * Makes a dispatcher without workers.
   *
   * # Errors
   * TypeError, RangeError.
   */
  constructor(options: DispatcherOptions = NO_OPTIONS) {
    super()
    checkCallOptions('Dispatcher', options, OPTIONS)
    const { pick = 'round-robin' } = options
    if (typeof pick === 'function') this.#pick = pick
    else if (pick !== 'round-robin' && pick !== 'least-connections') {
      const found = describeValue(pick)
      throw new TypeError(
        `pick must be 'round-robin', 'least-connections' or a function, not ${found}`,
      )
    }
    this.#strategy = pick === 'least-connections' ? leastConnections() : roundRobin()
    const peek = checkInteger('peek', options.peek, 0, 0, MAX_HEAD)
    const peekTimeout = checkTimeout(options.peekTimeout, TIMEOUT)
    if (peek > 0) {
      this.#peeks = new Peeks(peek, peekTimeout, {
        onPeeked: connection => this.#choose(connection),
        onFailed: (connection, error) => this.#drop(connection, { reason: 'failed', error }),
      })
    }
    this.#maxWaiting = checkInteger('maxWaiting', options.maxWaiting, 1_024, 1)
    this.#waiting = new WaitingList(checkTimeout(options.waitTimeout, TIMEOUT), ({ connection }) =>
      this.#drop(connection, { reason: 'timeout' }),
    )
  }

  /** The workers, in the order in which they were added. */
  get workers(): readonly DispatchWorker[] {
    return [...this.#workers]
  }

  /** How many connections wait for a worker that is not full. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#isClosed
  }

  /**
   * Adds the worker at the other end of a channel. It is removed when the channel ends.
   *
   * # Errors
   * TypeError for a channel that cannot carry JSON and descriptors, or is added already;
   * ERR_FDWIRE_CLOSED.
   */
  add(channel: AnyChannel): DispatchWorker {
    this.#checkOpen('add')
    if (this.#workers.some(worker => worker.channel === channel)) {
      throw new TypeError('add: the channel is added already')
    }
    const worker = makeWorker(channel, this.#host)
    this.#workers.push(worker)
    this.#onReady()
    return worker
  }

  /**
   * Removes a worker, which gets no further connections. Its channel stays open. Returns whether it
   * was there.
   */
  remove(worker: DispatchWorker | AnyChannel): boolean {
    const found = this.#workers.find(other => other === worker || other.channel === worker)
    if (found === undefined) return false
    release(found)
    this.#forget(found)
    return true
  }

  /**
   * Passes a connection on to a worker: a descriptor, or a `net.Socket` with the bytes that Node has
   * read from it. The dispatcher owns it from then on. If this throws, the caller still owns it.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED; TypeError, RangeError; those of `adopt` for a descriptor that is not a
   * connected stream socket, and for a `net.Socket` that is closed or has unsent bytes.
   */
  dispatch(socket: Socket | number, options: DispatchOptions = NO_OPTIONS): void {
    this.#checkOpen('dispatch')
    checkCallOptions('dispatch', options, ['head', 'meta'])
    const { head, meta } = options
    if (head !== undefined && !(head instanceof Uint8Array)) {
      throw new TypeError(`head must be a Buffer or Uint8Array, not ${describeValue(head)}`)
    }
    checkMeta(meta)
    this.#admit(takeConnection(socket, head, meta))
  }

  /**
   * Passes on all connections of a `net.Server`, unread, until one of the two is closed. The server
   * emits no `'connection'`.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED; TypeError for another value, and for a server that is attached already.
   */
  attach(server: Server): this {
    this.#checkOpen('attach')
    for (const attachment of this.#attachments) {
      if (attachment.server === server)
        throw new TypeError('attach: the server is attached already')
    }
    this.#attachments.add(new Attachment(server, this.#attachmentHost))
    return this
  }

  /**
   * Closes the attached servers and the connections that no worker has received. The channels of the
   * workers stay open. A second call does nothing.
   */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const attachment of [...this.#attachments]) attachment.close()
    this.#attachments.clear()
    for (const connection of this.#peeks?.clear() ?? []) closePending(connection)
    for (const worker of this.#workers.splice(0)) release(worker)
    for (const { connection } of this.#waiting.clear()) closePending(connection)
  }

  /** Takes a connection: to `#choose`, once its first bytes are known. */
  #admit(connection: Pending): void {
    if (this.#peeks === undefined) this.#choose(connection)
    else this.#peeks.add(connection)
  }

  /** Chooses the worker of a connection, or lets it wait. */
  #choose(connection: Pending): void {
    if (this.#isClosed) {
      closePending(connection)
      return
    }
    if (this.#workers.length === 0) {
      this.#wait(connection, undefined)
      return
    }
    const picked = this.#pick === undefined ? this.#strategy(this.#workers) : this.#ask(connection)
    if (picked === null) return
    if (picked !== undefined && !picked.isFull) give(picked, connection)
    else this.#wait(connection, picked)
  }

  /** Calls `pick`. Returns null if the connection is dropped. */
  #ask(connection: Pending): DispatchWorker | null {
    const dropped: DroppedConnection = { reason: 'pick' }
    try {
      const picked = this.#pick?.(
        new Connection(connection.fd, connection.meta),
        firstBytes(connection),
      )
      if (picked !== undefined) return this.#checkWorker(picked)
    } catch (error) {
      dropped.error = error
    }
    this.#drop(connection, dropped)
    return null
  }

  #checkWorker(picked: unknown): DispatchWorker {
    const worker = this.#workers.find(other => other === picked || other.channel === picked)
    if (worker !== undefined) return worker
    throw new TypeError(
      `pick must return a worker of this dispatcher or undefined, not ${describeValue(picked)}`,
    )
  }

  #wait(connection: Pending, worker: DispatchWorker | undefined): void {
    if (this.#waiting.length >= this.#maxWaiting) {
      this.#drop(connection, { reason: 'overload' })
      return
    }
    this.#waiting.add({ connection, worker })
    this.#updateAttachments()
  }

  /** Gives waiting connections to workers that are not full. */
  #onReady(): void {
    const entries = this.#waiting.length === 0 ? [] : [...this.#waiting.items()]
    for (const entry of entries) {
      const { connection, worker } = entry
      if (this.#pick !== undefined) {
        if (worker?.isFull) continue
        this.#waiting.delete(entry)
        if (worker === undefined) this.#choose(connection)
        else give(worker, connection)
      } else {
        const chosen = this.#strategy(this.#workers)
        if (chosen === undefined) break
        this.#waiting.delete(entry)
        give(chosen, connection)
      }
    }
    this.#updateAttachments()
  }

  /** Removes a worker, and chooses others for the connections that wait for it. */
  #forget(worker: DispatchWorker): void {
    const at = this.#workers.indexOf(worker)
    if (at >= 0) this.#workers.splice(at, 1)
    for (const entry of [...this.#waiting.items()]) {
      if (entry.worker !== worker) continue
      this.#waiting.delete(entry)
      this.#choose(entry.connection)
    }
    this.#updateAttachments()
  }

  #updateAttachments(): void {
    for (const attachment of this.#attachments) attachment.update()
  }

  /**
   * Whether connections are accepted: a worker is not full, or `pick` decides, which may choose that
   * one. Otherwise they wait in the backlogs of their servers.
   */
  get #isAccepting(): boolean {
    if (this.#pick !== undefined) return this.#workers.length > 0
    return this.#waiting.length === 0 && this.#workers.some(worker => !worker.isFull)
  }

  #drop(connection: Pending, dropped: DroppedConnection): void {
    closePending(connection)
    this.#emitDrop(dropped)
  }

  #emitDrop(dropped: DroppedConnection): void {
    if (this.listenerCount('drop') > 0) nextTick(() => this.emit('drop', dropped))
  }

  #checkOpen(call: string): void {
    if (this.#isClosed)
      throw new FdwireError('ERR_FDWIRE_CLOSED', `${call}: the dispatcher is closed`)
  }

  /** Sends the connections that were given to workers. */
  #flush(): void {
    this.#isFlushScheduled = false
    const workers = this.#unflushed
    this.#unflushed = []
    for (const worker of workers) flush(worker)
  }

  readonly #host: WorkerHost = {
    flushSoon: worker => {
      this.#unflushed.push(worker)
      if (this.#isFlushScheduled) return
      this.#isFlushScheduled = true
      nextTick(() => this.#flush())
    },
    onReady: () => this.#onReady(),
    onEnded: (worker, error) => {
      this.#forget(worker)
      if (!this.#isClosed) nextTick(() => this.emit('remove', worker, error))
    },
    onReturned: connections => {
      for (const connection of connections) this.#choose(connection)
    },
    onFailed: (connection, error) => this.#drop(connection, { reason: 'failed', error }),
    onRefused: connections => {
      for (let i = 0; i < connections; i++) this.#emitDrop({ reason: 'refused' })
    },
  }

  readonly #attachmentHost = {
    isAccepting: () => this.#isAccepting,
    onAccepted: (server: Server, connections: Pending[]) => {
      for (const connection of connections) {
        if (isBlocked(server, connection)) closePending(connection)
        else this.#admit(connection)
      }
      this.#flush()
      this.#updateAttachments()
    },
    onClosed: (attachment: Attachment) => {
      this.#attachments.delete(attachment)
    },
  }
}

/** Whether the server's `blockList` (Node 23) has the address of the peer. */
function isBlocked(server: Server, connection: Pending): boolean {
  const { blockList } = server as { blockList?: BlockList }
  if (blockList === undefined) return false
  const { remoteAddress } = new Connection(connection.fd, connection.meta)
  const family = familyOf(remoteAddress)
  if (remoteAddress === undefined || family === undefined) return false
  return blockList.check(remoteAddress, family === 'IPv4' ? 'ipv4' : 'ipv6')
}
