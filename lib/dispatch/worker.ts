import { FDS_OUT } from '#native'
import { coreOf } from '../channel/channel.js'
import { environment, hot } from '../native/environment.js'
import { table } from '../native/memory.js'
import { errorCode, isDisconnected } from '../util/errors.js'
import { setTimeout } from '../util/timers.js'
import { InFlight } from './in-flight.js'
import { type AnyChannel, countOf, type Wire, wireOf } from './messages.js'
import { detailsOf, type Pending, weightOf } from './pending.js'

/** The most connections of one message. */
const MAX_BATCH = 64

/** The size at which a message is sent although it could hold more connections (bytes). */
const MAX_WEIGHT = 64 * 1024

/** How long a worker gets nothing after this process had no resources to send to it (ms). */
const RETRY = 10

/**
 * The errors of sending that pass: the user has too many descriptors in flight, or this process has
 * no descriptor or memory left for a message that must be queued.
 */
const TEMPORARY: readonly unknown[] = [
  'ETOOMANYREFS',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'ERR_FDWIRE_QUEUE_FULL',
]

/** The dispatcher, as its workers see it. */
export interface WorkerHost {
  /** The worker has connections to send: flushes it soon. */
  flushSoon(worker: DispatchWorker): void
  /** The worker may no longer be full. */
  onReady(): void
  /** The worker has ended. */
  onEnded(worker: DispatchWorker, error: Error | undefined): void
  /** Connections that the worker has not received. */
  onReturned(connections: Pending[]): void
  /** A connection that cannot be sent to any worker. */
  onFailed(connection: Pending, error: Error): void
  /** The worker could not receive connections, which are lost. */
  onRefused(connections: number): void
}

/** Makes the worker of a channel. */
export let makeWorker: (channel: AnyChannel, host: WorkerHost) => DispatchWorker
/** Adds a connection to the next message. */
export let give: (worker: DispatchWorker, connection: Pending) => void
/** Sends the connections of the next message. */
export let flush: (worker: DispatchWorker) => void
/** Removes a worker from its dispatcher. Its channel stays open. */
export let release: (worker: DispatchWorker) => void

/**
 * A worker process of a dispatcher, which `add` returns.
 *
 * It is full, and gets no connection, while a message waits in the queue of its channel, and while
 * it has not taken as many connections as its window allows.
 */
export class DispatchWorker {
  static {
    makeWorker = (channel, host) => new DispatchWorker(channel, host)
    give = (worker, connection) => worker.#give(connection)
    flush = worker => worker.#flush()
    release = worker => worker.#release()
  }

  /** The channel to the worker. */
  readonly channel: AnyChannel
  readonly #wire: Wire
  readonly #host: WorkerHost
  readonly #maxBatch: number
  readonly #isStream: boolean
  #state: 'open' | 'blocked' | 'removed' = 'open'
  /** The connections of the next message. */
  #batch: Pending[] = []
  #weight = 0
  readonly #inFlight = new InFlight()
  #connections = 0

  private constructor(channel: AnyChannel, host: WorkerHost) {
    this.#wire = wireOf('add', channel)
    this.channel = channel
    this.#host = host
    const { maxFds, type } = coreOf(channel).options
    this.#maxBatch = Math.min(maxFds, MAX_BATCH)
    this.#isStream = type === 'stream'
    channel.on('message', this.#onMessage)
    channel.on('end', this.#onEnd)
    channel.on('close', this.#onEnd)
    channel.on('error', this.#onError)
  }

  /** How many connections it has: those that it got and has not reported as ended. */
  get connections(): number {
    return this.#connections
  }

  /** Whether it can get no connection now. */
  get isFull(): boolean {
    return this.#state !== 'open' || this.#inFlight.isFull
  }

  /** Whether it was removed from its dispatcher, because it has ended or by `remove`. */
  get isRemoved(): boolean {
    return this.#state === 'removed'
  }

  #give(connection: Pending): void {
    if (this.#batch.length === 0) this.#host.flushSoon(this)
    this.#batch.push(connection)
    this.#inFlight.count()
    this.#connections++
    this.#weight += weightOf(connection)
    if (this.#batch.length >= this.#maxBatch || this.#weight > MAX_WEIGHT) this.#flush()
  }

  #flush(): void {
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    this.#weight = 0
    if (this.#state === 'open') this.#send(batch)
    else this.#return(batch)
  }

  #send(batch: Pending[]): void {
    const { channel } = this
    try {
      const message = this.#wire.encode({ connections: batch.map(detailsOf) })
      const isSent = channel.send(message, {
        to: undefined,
        fds: batch.map(({ fd }) => fd),
      })
      this.#inFlight.push(batch.length)
      if (isSent && !this.#isStream) closeSent(batch)
      else this.#awaitFlush(batch, isSent)
    } catch (error) {
      this.#onSendError(batch, error as Error)
    }
  }

  /**
   * Keeps the descriptors of a message until the kernel has taken it. If the worker ends before
   * that, others get the connections.
   */
  #awaitFlush(batch: Pending[], isSent: boolean): void {
    const core = coreOf(this.channel)
    if (this.#isStream) core.handle.flush()
    if (!isSent || core.sender.hasQueue) this.#state = 'blocked'
    this.channel.flush().then(
      () => {
        closeSent(batch)
        this.#unblock()
      },
      () => {
        this.#return(batch)
        this.#unblock()
      },
    )
  }

  #unblock(): void {
    if (this.#state !== 'blocked') return
    this.#state = 'open'
    this.#host.onReady()
  }

  #onSendError(batch: Pending[], error: Error): void {
    if (isDisconnected(error)) {
      this.#end(error)
      this.#return(batch)
    } else if (TEMPORARY.includes(errorCode(error))) {
      this.#state = 'blocked'
      setTimeout(() => this.#unblock(), RETRY)
      this.#return(batch)
    } else if (batch.length > 1) {
      // One of them has a closed descriptor, or too much data for one message.
      for (const connection of batch) {
        if (this.#state === 'open') this.#send([connection])
        else this.#return([connection])
      }
    } else {
      const [connection] = batch as [Pending]
      this.#uncount(1)
      this.#host.onFailed(connection, error)
    }
  }

  #return(batch: Pending[]): void {
    this.#uncount(batch.length)
    this.#host.onReturned(batch)
  }

  #uncount(connections: number): void {
    this.#inFlight.uncount(connections)
    this.#connections = Math.max(0, this.#connections - connections)
  }

  readonly #onMessage = (value: unknown): void => {
    const report = this.#wire.decode(value)
    if (report === undefined) return
    const window = countOf(report, 'window')
    if (window > 0) this.#inFlight.setWindow(window)
    const refused = countOf(report, 'refused')
    const taken = Math.min(countOf(report, 'taken'), this.#inFlight.messages)
    let lost = 0
    for (let message = taken; message > 0; message--) {
      const connections = this.#inFlight.acknowledge()
      // Those that were refused are the last ones of a report.
      if (message <= refused) lost += connections
    }
    const ended = countOf(report, 'closed') + lost
    this.#connections = Math.max(0, this.#connections - ended)
    if (lost > 0) this.#host.onRefused(lost)
    if (!this.isFull) this.#host.onReady()
  }

  readonly #onEnd = (): void => this.#end(undefined)
  readonly #onError = (error: Error): void => this.#end(error)

  /** The `'error'` listener stays: a channel whose `send` has failed may emit its error later. */
  #end(error: Error | undefined): void {
    if (this.#state === 'removed') return
    const batch = this.#batch
    this.#batch = []
    this.#leave()
    this.#host.onEnded(this, error)
    this.#return(batch)
  }

  #release(): void {
    this.#flush()
    if (this.#state === 'removed') return
    this.#leave()
    this.channel.off('error', this.#onError)
  }

  #leave(): void {
    this.#state = 'removed'
    this.channel.off('message', this.#onMessage)
    this.channel.off('end', this.#onEnd)
    this.channel.off('close', this.#onEnd)
  }
}

/** Closes the descriptors of connections that a worker has. */
function closeSent(batch: Pending[]): void {
  let count = 0
  for (const { fd, isTcp } of batch) {
    if (isTcp) table[FDS_OUT + count++] = fd
    else environment.closeConnection(fd)
  }
  if (count > 0) hot.closeSent(count)
}
