import { RecordKind } from '#native'
import { countReferenced, environment, hot, register, unregister } from '../native/environment.js'
import { AcceptPause } from '../open/accept-pause.js'
import { systemError } from '../util/errors.js'
import { turn } from '../wire/turn.js'

/** The most connections that one turn accepts, as in crates/channel. */
const MAX_ACCEPTS = 64

/** Who gets the connections of an acceptor. */
export interface AcceptorHost {
  /** Takes the descriptors of connections, from which nothing was read. */
  onAccepted(fds: number[]): void
  /** Accepting has failed for good. */
  onError(error: Error): void
}

/** Accepts the connections of a listening TCP socket, without reading from them. */
export class Acceptor {
  #index: number
  readonly #host: AcceptorHost
  readonly #pause = new AcceptPause(() => this.#allow())
  #isPaused = true
  #isReferenced = true

  /** Takes ownership of the descriptor, unless it throws. It accepts nothing before `resume`. */
  constructor(fd: number, host: AcceptorHost) {
    this.#host = host
    this.#index = environment.acceptUnread(fd)
    register(this.#index, { onTurn: records => this.#onTurn(records) })
    countReferenced(1)
  }

  /** Leaves further connections in the backlog of the socket. */
  pause(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    if (this.#index >= 0) hot.allow(this.#index, 0)
  }

  /** Accepts connections. */
  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#allow()
  }

  /** Whether it keeps the process alive. */
  get isReferenced(): boolean {
    return this.#isReferenced
  }

  /** Sets whether it keeps the process alive. */
  setReferenced(referenced: boolean): void {
    if (this.#index >= 0 && referenced !== this.#isReferenced) countReferenced(referenced ? 1 : -1)
    this.#isReferenced = referenced
  }

  close(): void {
    if (this.#index < 0) return
    if (this.#isReferenced) countReferenced(-1)
    unregister(this.#index)
    this.#index = -1
  }

  #allow(): void {
    if (this.#isPaused || this.#pause.isActive || this.#index < 0) return
    hot.allow(this.#index, MAX_ACCEPTS)
  }

  #onTurn(records: number): void {
    // All is read before the program runs: it may close this acceptor.
    let fds: number[] = []
    let error: Error | undefined
    for (let index = 0; index < records; index++) {
      const event = turn.event(index)
      if (event.kind === RecordKind.Connections) {
        fds = turn.fds(index)
        this.#pause.reset()
      } else {
        const failure = systemError(event.place, String(event.name))
        if (!this.#pause.start(failure)) error = failure
      }
    }
    if (fds.length > 0) this.#host.onAccepted(fds)
    if (error === undefined) this.#allow()
    else this.#host.onError(error)
  }
}
