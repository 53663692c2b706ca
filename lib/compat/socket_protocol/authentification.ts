import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { STATUS_OKAY } from '../../options/socket_protocol.js'
import {
  AUTH_STATE_KEY_TRANSFERRED,
  AUTH_STATE_SEED_REQUESTED,
  AUTH_STATE_SEED_TRANSFERRED,
  AUTH_STATE_TRUSTED_CONNECTION,
  AUTH_STATE_UNTRUSTED_CONNECTION,
  type AuthState,
  DID_AUTH_KEY,
  DID_AUTH_SEED,
  SID_AUTH_REQUEST,
  SID_AUTH_RESPONSE,
  STATUS_OPERATION_NOT_PERMITTED,
} from './constants.js'
import { DataStorage } from './data-storage.js'

/** The side of a connection. */
export type Role = 'client' | 'server'

/** Returns the key with which the side `role` answers a seed. */
export type DeriveKey = (secret: Buffer, role: Role, seed: string) => string

/** Options of `Authentification`. */
export interface AuthentificationOptions {
  /** The shared secret. Without it this side neither proves itself nor verifies the peer. */
  secret: Buffer | undefined
  /** This side of the connection. */
  role: Role
  /** Derives the keys. */
  deriveKey: DeriveKey
  /** The attempts of the peer per connection. After the last one the connection is closed. */
  maxAttempts: number
  /** Whether the connection is trusted only after both sides have proven themselves. */
  mutual: boolean
}

/** What the caller must do after a received message. */
export interface Reaction {
  /** The message to send; absent for none. */
  reply?: DataStorage
  /** If this side's attempt has ended: whether the peer has accepted its key. */
  settled?: boolean
  /** Why the message was refused; absent if it was not. Never contains its data. */
  refused?: string
  /** Whether to close the connection after the reply: the peer has used all its attempts. */
  close?: boolean
}

/** A seed: 32 bytes as lower-case hex digits. */
const SEED = /^[0-9a-f]{64}$/

/** The longest key that is accepted (characters). */
const MAX_TEXT = 1_024

/** The most seeds of this side that are remembered, to detect a peer that sends one back. */
const MAX_ISSUED = 64

/**
 * Returns the key with which the side `role` answers a seed.
 *
 * It is the HMAC-SHA-256, in hex, of `fdwire socket_protocol 1`, a zero byte, `role`, a zero byte
 * and the text of the seed.
 *
 * The role is part of it, so that a key of one side is not valid for the other. Otherwise a peer
 * could make a side answer its own seed (a reflection attack).
 */
export function deriveKey(secret: Buffer, role: Role, seed: string): string {
  const hmac = createHmac('sha256', secret)
  return hmac.update(`fdwire socket_protocol 1\0${role}\0${seed}`).digest('hex')
}

/**
 * The authentication of one connection: a state machine without a socket and without a clock.
 *
 * ```text
 *  prover                                    verifier
 *  begin()   ── request, seed ─────────────► makes a seed, which is valid for one key
 *            ◄───────────── response, seed ──
 *            ── request, key ──────────────► compares the key in constant time
 *            ◄────── response, true or false
 * ```
 *
 * Each side is a prover and a verifier. The two are independent, and may run at the same time.
 */
export class Authentification {
  readonly #options: AuthentificationOptions
  /** The response that this side awaits as a prover. */
  #awaiting: 'nothing' | 'seed' | 'feedback' = 'nothing'
  /** The number of seeds for abandoned attempts that may still arrive. */
  #lateSeeds = 0
  /** The number of feedbacks on abandoned attempts that may still arrive. */
  #lateFeedbacks = 0
  /** Whether the peer has accepted a key of this side on this connection. */
  #accepted = false
  /** The seed that the peer may answer now; undefined if there is none. */
  #seed: string | undefined
  /** The last seeds of this side. */
  readonly #issued = new Set<string>()
  /** The attempts of the peer since its last correct key. */
  #attempts = 0
  /** Whether the peer has sent a correct key on this connection. Wrong keys do not change that. */
  #verified = false

  /** Makes the state machine of a new connection. */
  constructor(options: AuthentificationOptions) {
    this.#options = options
  }

  /** The state, as a constant of the original. */
  get state(): AuthState {
    if (this.isTrusted) return AUTH_STATE_TRUSTED_CONNECTION
    if (this.#awaiting === 'feedback') return AUTH_STATE_KEY_TRANSFERRED
    if (this.#awaiting === 'seed') return AUTH_STATE_SEED_REQUESTED
    if (this.#seed !== undefined) return AUTH_STATE_SEED_TRANSFERRED
    return AUTH_STATE_UNTRUSTED_CONNECTION
  }

  /** Whether the connection is trusted. */
  get isTrusted(): boolean {
    if (this.#options.mutual) return this.#accepted && this.#verified
    return this.#accepted || this.#verified
  }

  /** Whether the peer has accepted this side's key. */
  get isAccepted(): boolean {
    return this.#accepted
  }

  /** Begins an attempt of this side. Returns the message to send; undefined without a secret. */
  begin(): DataStorage | undefined {
    if (this.#options.secret === undefined) return undefined
    this.abandon()
    this.#awaiting = 'seed'
    return request(DID_AUTH_SEED, null)
  }

  /** Abandons the attempt of this side. Its late responses are dropped. */
  abandon(): void {
    if (this.#awaiting === 'seed') this.#lateSeeds++
    if (this.#awaiting === 'feedback') this.#lateFeedbacks++
    this.#awaiting = 'nothing'
  }

  /** Forgets everything, after the connection has ended. */
  reset(): void {
    this.#awaiting = 'nothing'
    this.#lateSeeds = 0
    this.#lateFeedbacks = 0
    this.#accepted = false
    this.#seed = undefined
    this.#issued.clear()
    this.#attempts = 0
    this.#verified = false
  }

  /** Handles a message of the authentication services. */
  receive(message: DataStorage): Reaction {
    const isRequest = message.getServiceId() === SID_AUTH_REQUEST
    switch (message.getDataId()) {
      case DID_AUTH_SEED:
        return isRequest ? this.#issueSeed() : this.#answerSeed(message)
      case DID_AUTH_KEY:
        return isRequest ? this.#verifyKey(message) : this.#receiveFeedback(message)
      default:
        return refusal('unknown data id', isRequest ? (message.getDataId() as number) : undefined)
    }
  }

  #issueSeed(): Reaction {
    const { secret, maxAttempts } = this.#options
    if (secret === undefined) return refusal('this side has no secret', DID_AUTH_SEED)
    if (this.#attempts >= maxAttempts) return closing(refusal('too many attempts', DID_AUTH_SEED))
    // A seed that is requested and not answered counts as an attempt too.
    this.#attempts++
    this.#seed = randomBytes(32).toString('hex')
    if (this.#issued.size >= MAX_ISSUED) this.#issued.delete(oldest(this.#issued))
    this.#issued.add(this.#seed)
    return { reply: response(DID_AUTH_SEED, STATUS_OKAY, this.#seed) }
  }

  #verifyKey(message: DataStorage): Reaction {
    const { secret, role, maxAttempts } = this.#options
    const seed = this.#seed
    this.#seed = undefined
    if (secret === undefined || seed === undefined) {
      this.#attempts++
      const reaction = refusal('a key without a seed', DID_AUTH_KEY, false)
      return this.#attempts >= maxAttempts ? closing(reaction) : reaction
    }
    const key = message.getData()
    const peer: Role = role === 'client' ? 'server' : 'client'
    const expected = this.#derive(secret, peer, seed)
    if (isText(key) && expected !== undefined && isEqual(key, expected)) {
      this.#attempts = 0
      this.#verified = true
      return { reply: response(DID_AUTH_KEY, STATUS_OKAY, true) }
    }
    const reaction = { refused: 'a wrong key', reply: response(DID_AUTH_KEY, STATUS_OKAY, false) }
    return this.#attempts >= maxAttempts ? closing(reaction) : reaction
  }

  #answerSeed(message: DataStorage): Reaction {
    if (this.#lateSeeds > 0) {
      this.#lateSeeds--
      return { refused: 'a seed for an abandoned attempt' }
    }
    const { secret, role } = this.#options
    if (this.#awaiting !== 'seed' || secret === undefined) {
      return { refused: 'a seed that was not requested' }
    }
    this.#awaiting = 'nothing'
    const seed = message.getData()
    if (message.getStatus() !== STATUS_OKAY || typeof seed !== 'string' || !SEED.test(seed)) {
      return { refused: 'a response without a valid seed', settled: false }
    }
    if (this.#issued.has(seed)) return { refused: "a seed of this side's own", settled: false }
    const key = this.#derive(secret, role, seed)
    if (key === undefined) return { refused: 'deriveKey returned no key', settled: false }
    this.#awaiting = 'feedback'
    return { reply: request(DID_AUTH_KEY, key) }
  }

  /** Derives a key. Hides what `deriveKey` throws, which may contain the secret. */
  #derive(secret: Buffer, role: Role, seed: string): string | undefined {
    try {
      const key = this.#options.deriveKey(secret, role, seed)
      return isText(key) ? key : undefined
    } catch {
      return undefined
    }
  }

  #receiveFeedback(message: DataStorage): Reaction {
    if (this.#lateFeedbacks > 0) {
      this.#lateFeedbacks--
      return { refused: 'feedback on an abandoned attempt' }
    }
    if (this.#awaiting !== 'feedback') return { refused: 'feedback that was not requested' }
    this.#awaiting = 'nothing'
    const settled = message.getStatus() === STATUS_OKAY && message.getData() === true
    this.#accepted ||= settled
    return { settled }
  }
}

function request(dataId: number, data: unknown): DataStorage {
  const service_id = SID_AUTH_REQUEST
  return new DataStorage({ status: STATUS_OKAY, service_id, data_id: dataId, data })
}

function response(dataId: number, status: number, data: unknown): DataStorage {
  return new DataStorage({ status, service_id: SID_AUTH_RESPONSE, data_id: dataId, data })
}

/** Returns the reaction to a refused message: with a reply to a request (`dataId`) only. */
function refusal(refused: string, dataId?: number, data: unknown = null): Reaction {
  if (dataId === undefined) return { refused }
  return { refused, reply: response(dataId, STATUS_OPERATION_NOT_PERMITTED, data) }
}

function closing(reaction: Reaction): Reaction {
  return { ...reaction, close: true }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_TEXT
}

/** Compares two keys in a time that does not depend on where they differ. */
function isEqual(received: string, expected: string): boolean {
  // timingSafeEqual needs operands of one length, which keys of a custom `deriveKey` may not have.
  const digest = (text: string) => createHmac('sha256', 'compare').update(text).digest()
  return timingSafeEqual(digest(received), digest(expected))
}

function oldest(seeds: Set<string>): string {
  return seeds.values().next().value as string
}
