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

/** Makes the key that a side answers a seed with, as text. */
export type DeriveKey = (secret: Buffer, role: Role, seed: string) => string

/** What authentication is to be. */
export interface AuthentificationOptions {
  /** What both sides know; undefined: nobody can prove anything, and nobody must. */
  secret: Buffer | undefined
  /** Our side. */
  role: Role
  /** Makes the keys. */
  deriveKey: DeriveKey
  /** Attempts of the peer on a connection, before it is closed. */
  maxAttempts: number
  /** Whether the connection is trusted only when both sides have proven themselves. */
  mutual: boolean
}

/** What comes of a message. */
export interface Reaction {
  /** What is to be sent. */
  reply?: DataStorage
  /** Our own attempt has ended, so. */
  settled?: boolean
  /** Why the message was refused; it never shows what was in it. */
  refused?: string
  /** The peer has had all its attempts: the connection is to be closed behind the reply. */
  close?: boolean
}

/** What a text of authentication may be long (characters). */
const MAX_TEXT = 1_024

/** Our own seeds that are remembered, so that none comes back to us as the peer's. */
const MAX_ISSUED = 64

/**
 * The key of a side for a seed: HMAC-SHA-256 of `fdwire socket_protocol 1`, a zero byte, the role of
 * the side that answers, a zero byte and the seed's text; in hex.
 *
 * The role is in it so that what one side has answered is worth nothing to the other: nobody can
 * have us answer our own question, or have the server's twin answer for a client.
 */
export function deriveKey(secret: Buffer, role: Role, seed: string): string {
  const hmac = createHmac('sha256', secret)
  return hmac.update(`fdwire socket_protocol 1\0${role}\0${seed}`).digest('hex')
}

/**
 * Authentication of one connection: messages in, messages out, and a state.
 *
 * ```text
 *  who proves itself                         who is to be convinced
 *  begin()   ── request, seed ─────────────► a fresh seed, good for one answer
 *            ◄───────────── response, seed ──
 *  the key   ── request, key ──────────────► compared in constant time
 *            ◄────── response, true or false
 * ```
 *
 * Either side may begin, and both at once: each is a half of this machine. It knows no socket and no
 * clock.
 */
export class Authentification {
  readonly #options: AuthentificationOptions
  /** Our own proof: how far it is. */
  #asking: 'nothing' | 'seed' | 'feedback' = 'nothing'
  /** Answers to attempts that we have given up, and that may still come. */
  #lateSeeds = 0
  #lateFeedbacks = 0
  /** The peer has told that it believes us. */
  #accepted = false
  /** The seed that the peer may answer now. */
  #seed: string | undefined
  readonly #issued = new Set<string>()
  #attempts = 0
  /** The peer has proven itself. */
  #verified = false

  constructor(options: AuthentificationOptions) {
    this.#options = options
  }

  /** How far it is. */
  get state(): AuthState {
    if (this.isTrusted) return AUTH_STATE_TRUSTED_CONNECTION
    if (this.#asking === 'feedback') return AUTH_STATE_KEY_TRANSFERRED
    if (this.#asking === 'seed') return AUTH_STATE_SEED_REQUESTED
    if (this.#seed !== undefined) return AUTH_STATE_SEED_TRANSFERRED
    return AUTH_STATE_UNTRUSTED_CONNECTION
  }

  /** Whether the connection is trusted. */
  get isTrusted(): boolean {
    if (this.#options.mutual) return this.#accepted && this.#verified
    return this.#accepted || this.#verified
  }

  /** Whether the peer believes us. */
  get isAccepted(): boolean {
    return this.#accepted
  }

  /** Begins our own proof; the message to send, undefined where there is no secret. */
  begin(): DataStorage | undefined {
    if (this.#options.secret === undefined) return undefined
    this.abandon()
    this.#accepted = false
    this.#asking = 'seed'
    return request(DID_AUTH_SEED, null)
  }

  /** Gives our own proof up: what is answered to it later is answered to nobody. */
  abandon(): void {
    if (this.#asking === 'seed') this.#lateSeeds++
    if (this.#asking === 'feedback') this.#lateFeedbacks++
    this.#asking = 'nothing'
  }

  /** The connection is gone: nobody is trusted, and every seed is worthless. */
  reset(): void {
    this.#asking = 'nothing'
    this.#lateSeeds = 0
    this.#lateFeedbacks = 0
    this.#accepted = false
    this.#seed = undefined
    this.#issued.clear()
    this.#attempts = 0
    this.#verified = false
  }

  /** Takes a message of the services of authentication. */
  receive(message: DataStorage): Reaction {
    const isRequest = message.getServiceId() === SID_AUTH_REQUEST
    switch (message.getDataId()) {
      case DID_AUTH_SEED:
        return isRequest ? this.#giveSeed() : this.#answerSeed(message)
      case DID_AUTH_KEY:
        return isRequest ? this.#checkKey(message) : this.#hearFeedback(message)
      default:
        return refusal('no such step', isRequest ? (message.getDataId() as number) : undefined)
    }
  }

  #giveSeed(): Reaction {
    const { secret, maxAttempts } = this.#options
    if (secret === undefined) return refusal('there is no secret here', DID_AUTH_SEED)
    if (this.#attempts >= maxAttempts) return closing(refusal('too many attempts', DID_AUTH_SEED))
    // One that is asked for and not answered is an attempt as well.
    this.#attempts++
    this.#seed = randomBytes(32).toString('hex')
    if (this.#issued.size >= MAX_ISSUED) this.#issued.delete(oldest(this.#issued))
    this.#issued.add(this.#seed)
    return { reply: response(DID_AUTH_SEED, STATUS_OKAY, this.#seed) }
  }

  #checkKey(message: DataStorage): Reaction {
    const { secret, role, maxAttempts } = this.#options
    const seed = this.#seed
    this.#seed = undefined
    this.#verified = false
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
    const refused = 'a wrong key'
    const reaction = { refused, reply: response(DID_AUTH_KEY, STATUS_OKAY, false) }
    return this.#attempts >= maxAttempts ? closing(reaction) : reaction
  }

  #answerSeed(message: DataStorage): Reaction {
    if (this.#lateSeeds > 0) {
      this.#lateSeeds--
      return { refused: 'a seed for an attempt that was given up' }
    }
    const { secret, role } = this.#options
    if (this.#asking !== 'seed' || secret === undefined) {
      return { refused: 'a seed that nobody asked for' }
    }
    this.#asking = 'nothing'
    const seed = message.getData()
    if (message.getStatus() !== STATUS_OKAY || !isText(seed)) {
      return { refused: 'there was no seed in the answer', settled: false }
    }
    if (this.#issued.has(seed)) return { refused: 'a seed of our own', settled: false }
    const key = this.#derive(secret, role, seed)
    if (key === undefined) return { refused: 'deriveKey made no key', settled: false }
    this.#asking = 'feedback'
    return { reply: request(DID_AUTH_KEY, key) }
  }

  /** What `deriveKey` throws may show the secret: nobody sees it. */
  #derive(secret: Buffer, role: Role, seed: string): string | undefined {
    try {
      const key = this.#options.deriveKey(secret, role, seed)
      return isText(key) ? key : undefined
    } catch {
      return undefined
    }
  }

  #hearFeedback(message: DataStorage): Reaction {
    if (this.#lateFeedbacks > 0) {
      this.#lateFeedbacks--
      return { refused: 'a feedback on an attempt that was given up' }
    }
    if (this.#asking !== 'feedback') return { refused: 'a feedback that nobody asked for' }
    this.#asking = 'nothing'
    this.#accepted = message.getStatus() === STATUS_OKAY && message.getData() === true
    return { settled: this.#accepted }
  }
}

function request(dataId: number, data: unknown): DataStorage {
  const service_id = SID_AUTH_REQUEST
  return new DataStorage({ status: STATUS_OKAY, service_id, data_id: dataId, data })
}

function response(dataId: number, status: number, data: unknown): DataStorage {
  return new DataStorage({ status, service_id: SID_AUTH_RESPONSE, data_id: dataId, data })
}

/** What is refused; a request is told so. */
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

/** Compares in a time that tells nothing about where the two differ. */
function isEqual(given: string, expected: string): boolean {
  // Digests are of one length, which timingSafeEqual needs, whatever `deriveKey` makes.
  const digest = (text: string) => createHmac('sha256', 'compare').update(text).digest()
  return timingSafeEqual(digest(given), digest(expected))
}

function oldest(seeds: Set<string>): string {
  return seeds.values().next().value as string
}
