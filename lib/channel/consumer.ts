import type { FdSet } from '../fds/fdset.js'
import type { Credentials } from '../options/types.js'
import { conflictError } from '../util/errors.js'
import type { From } from '../wire/message.js'

/** A listener as EventEmitter stores it: one of `once` removes itself when it is called. */
// biome-ignore lint/complexity/noBannedTypes: `rawListeners` returns this type
export type Listener = Function

/** Takes the messages for `serve` or `toDuplex`. */
export type Take = (value: unknown, fds: FdSet, from: From, credentials?: Credentials) => void

/** Why another consumer cannot take the messages. */
const CONFLICTS = {
  listeners: "a 'message' listener takes the messages of this channel",
  iterator: 'an iterator takes the messages of this channel',
  server: 'serve() takes the messages of this channel',
  stream: 'a stream of toDuplex() takes the messages of this channel',
} as const

/** A consumer that excludes calls which wait for messages. */
type Sole = 'server' | 'stream'

/**
 * What takes the messages for which no call waits: the `'message'` listeners, an iterator, `serve`,
 * or the stream of `toDuplex`. An iterator waits; the others are called.
 */
export class Consumer {
  readonly #callsLone: boolean
  #kind: 'none' | 'listeners' | 'iterator' | Sole = 'none'
  /** The listener, or the function of a sole consumer, if it can be called directly. */
  #lone: Listener | undefined
  #take: Take | undefined
  #isHeld = false

  /** `callsLone`: whether a lone listener gets only a value, descriptors and an address. */
  constructor(callsLone: boolean) {
    this.#callsLone = callsLone
  }

  /** Whether a consumer that is called takes messages now. */
  get isFlowing(): boolean {
    return this.#kind === 'listeners' || (this.#take !== undefined && !this.#isHeld)
  }

  /** The only function that takes messages at present, if it can be called directly. */
  get lone(): Listener | undefined {
    return this.#isHeld ? undefined : this.#lone
  }

  /** Takes a message for a sole consumer; undefined for any other one. */
  get take(): Take | undefined {
    return this.#take
  }

  /** Whether an iterator takes the messages. */
  get isIterating(): boolean {
    return this.#kind === 'iterator'
  }

  /** Whether `serve` takes the messages. */
  get isServing(): boolean {
    return this.#kind === 'server'
  }

  /** Throws ERR_FDWIRE_CONSUMER_CONFLICT while `serve`, or a stream, takes the messages. */
  checkCall(): void {
    if (this.#kind === 'server') throw conflictError(CONFLICTS.server)
    this.checkNoStream()
  }

  /** Throws ERR_FDWIRE_CONSUMER_CONFLICT while a stream takes the messages. */
  checkNoStream(): void {
    if (this.#kind === 'stream') throw conflictError(CONFLICTS.stream)
  }

  /** Throws ERR_FDWIRE_CONSUMER_CONFLICT if there cannot be a `'message'` listener. */
  checkListener(): void {
    if (this.#kind !== 'listeners') this.#checkNone()
  }

  /** Sets the number of `'message'` listeners, and the only one if it can be called directly. */
  setListeners(count: number, lone: Listener | undefined): void {
    if (this.#take !== undefined) return
    if (count > 0) this.#kind = 'listeners'
    else if (this.#kind === 'listeners') this.#kind = 'none'
    this.#lone = this.#callsLone ? lone : undefined
  }

  /** Makes an iterator the consumer. Throws ERR_FDWIRE_CONSUMER_CONFLICT if there is another. */
  beginIterating(): void {
    this.#checkNone()
    this.#kind = 'iterator'
  }

  /** Makes a sole consumer take the messages. Throws ERR_FDWIRE_CONSUMER_CONFLICT for a second one. */
  beginTaking(kind: Sole, take: Take): void {
    this.#checkNone()
    this.#kind = kind
    this.#take = take
    this.#lone = this.#callsLone ? take : undefined
  }

  /** Stops or resumes the delivery to `serve`. */
  setHeld(isHeld: boolean): void {
    this.#isHeld = isHeld
  }

  /** Ends an iteration, or `serve`. */
  end(): void {
    this.#kind = 'none'
    this.#take = undefined
    this.#lone = undefined
    this.#isHeld = false
  }

  #checkNone(): void {
    if (this.#kind !== 'none') throw conflictError(CONFLICTS[this.#kind])
  }
}
