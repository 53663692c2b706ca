import { startLimits } from '../../util/wait.js'
import { Authentification, type Reaction, type Role } from './authentification.js'
import type { AuthState } from './constants.js'
import type { DataStorage } from './data-storage.js'
import type { CheckedProtocolOptions } from './options.js'

/** The parts of a session that its handshake uses. */
export interface HandshakeHost {
  /** Sends a request of this side. */
  send(message: DataStorage): void
  /** Called when the connection's trust has changed, or when an attempt of this side has ended. */
  onChange(): void
  /** Called when a message was refused. */
  onRefused(reason: string): void
}

interface Attempt {
  promise: Promise<boolean>
  settle(accepted: boolean): void
}

/** The authentication of both sides, with a timeout for each attempt of this side. */
export class Handshake {
  readonly #machine: Authentification
  readonly #hasSecret: boolean
  readonly #host: HandshakeHost
  #attempt: Attempt | undefined

  constructor(options: CheckedProtocolOptions, role: Role, host: HandshakeHost) {
    this.#machine = new Authentification({ ...options, role })
    this.#hasSecret = options.secret !== undefined
    this.#host = host
  }

  get state(): AuthState {
    return this.#machine.state
  }

  /** Whether a secret is set, so that a peer must prove itself. */
  get isRequired(): boolean {
    return this.#hasSecret
  }

  /** Whether requests of the peer are served: no secret is set, or the connection is trusted. */
  get isTrusted(): boolean {
    return !this.#hasSecret || this.#machine.isTrusted
  }

  /** Whether the peer has accepted this side's key. */
  get isAccepted(): boolean {
    return this.#machine.isAccepted
  }

  /** Whether the connection is trusted because of a correct key. */
  get isProven(): boolean {
    return this.#machine.isTrusted
  }

  /** Whether an attempt of this side is in progress. */
  get isPending(): boolean {
    return this.#attempt !== undefined
  }

  /**
   * Begins an attempt, or joins the one in progress. Resolves to whether the peer accepts this
   * side's key within `timeout` (ms, 0: no limit).
   */
  begin(timeout: number): Promise<boolean> {
    if (this.#attempt !== undefined) return this.#attempt.promise
    const first = this.#machine.begin()
    if (first === undefined) return Promise.resolve(false)
    let resolve: (accepted: boolean) => void = () => {}
    const promise = new Promise<boolean>(resolvePromise => {
      resolve = resolvePromise
    })
    const late = 'The peer did not answer'
    const stopLimit = startLimits({ timeout }, { late }, () => this.#abandon())
    this.#attempt = {
      promise,
      settle: accepted => {
        stopLimit()
        this.#attempt = undefined
        resolve(accepted)
      },
    }
    this.#host.send(first)
    return promise
  }

  /** Handles a request of the peer. */
  receiveRequest(message: DataStorage): Reaction & { reply: DataStorage } {
    const wasTrusted = this.#machine.isTrusted
    const reaction = this.#machine.receive(message)
    if (reaction.refused !== undefined) this.#host.onRefused(reaction.refused)
    if (this.#machine.isTrusted !== wasTrusted) this.#host.onChange()
    return reaction as Reaction & { reply: DataStorage }
  }

  /** Handles a response of the peer. */
  receiveResponse(message: DataStorage): void {
    const { refused, reply, settled } = this.#machine.receive(message)
    if (refused !== undefined) this.#host.onRefused(refused)
    if (reply !== undefined) this.#host.send(reply)
    if (settled === undefined) return
    this.#attempt?.settle(settled)
    this.#host.onChange()
  }

  /** Forgets everything, after the connection has ended. */
  reset(): void {
    this.#machine.reset()
    this.#attempt?.settle(false)
  }

  #abandon(): void {
    this.#machine.abandon()
    this.#attempt?.settle(false)
    this.#host.onChange()
  }
}
