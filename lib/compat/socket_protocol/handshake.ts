import { Authentification, type Reaction, type Role } from './authentification.js'
import type { AuthState } from './constants.js'
import type { DataStorage } from './data-storage.js'
import type { CheckedProtocolOptions } from './options.js'

/** What the handshake needs of its protocol object. */
export interface HandshakeHost {
  /** Sends a request of ours. */
  post(message: DataStorage): void
  /** Somebody began or ceased to be trusted, or an attempt of ours has ended. */
  changed(): void
  /** Something was refused. */
  refused(why: string): void
}

interface Attempt {
  promise: Promise<boolean>
  settle(accepted: boolean): void
}

/** Our own attempts to be trusted, in time, and the peer's. */
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

  /** How far it is. */
  get state(): AuthState {
    return this.#machine.state
  }

  /** Whether there is a secret, so that a peer must prove something. */
  get isNeeded(): boolean {
    return this.#hasSecret
  }

  /** Whether the peer's requests are served: there is no secret, or the connection is trusted. */
  get isTrusted(): boolean {
    return !this.#hasSecret || this.#machine.isTrusted
  }

  /** Whether the peer has told that it believes us. */
  get isAccepted(): boolean {
    return this.#machine.isAccepted
  }

  /** Whether the connection is trusted by a proof. */
  get isProven(): boolean {
    return this.#machine.isTrusted
  }

  /** Whether an attempt of ours is under way. */
  get isUnderWay(): boolean {
    return this.#attempt !== undefined
  }

  /** Begins an attempt, or joins that which is under way; whether the peer believes us in time (ms). */
  begin(timeout: number): Promise<boolean> {
    if (this.#attempt !== undefined) return this.#attempt.promise
    const first = this.#machine.begin()
    if (first === undefined) return Promise.resolve(false)
    let settle: (accepted: boolean) => void = () => {}
    const promise = new Promise<boolean>(resolve => {
      settle = resolve
    })
    const timer = timeout > 0 ? setTimeout(() => this.#giveUp(), timeout).unref() : undefined
    this.#attempt = {
      promise,
      settle: accepted => {
        clearTimeout(timer)
        this.#attempt = undefined
        settle(accepted)
      },
    }
    this.#host.post(first)
    return promise
  }

  /** Takes a request of the peer's; the answer, and whether the connection is to be closed behind it. */
  answer(message: DataStorage): Reaction & { reply: DataStorage } {
    const wasTrusted = this.#machine.isTrusted
    const reaction = this.#machine.receive(message)
    if (reaction.refused !== undefined) this.#host.refused(reaction.refused)
    if (this.#machine.isTrusted !== wasTrusted) this.#host.changed()
    return reaction as Reaction & { reply: DataStorage }
  }

  /** Takes an answer of the peer's. */
  hear(message: DataStorage): void {
    const { refused, reply, settled } = this.#machine.receive(message)
    if (refused !== undefined) this.#host.refused(refused)
    if (reply !== undefined) this.#host.post(reply)
    if (settled === undefined) return
    this.#attempt?.settle(settled)
    this.#host.changed()
  }

  /** The connection is gone. */
  reset(): void {
    this.#machine.reset()
    this.#attempt?.settle(false)
  }

  #giveUp(): void {
    this.#machine.abandon()
    this.#attempt?.settle(false)
    this.#host.changed()
  }
}
