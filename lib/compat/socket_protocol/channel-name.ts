import { STATUS_OKAY } from '../../options/socket_protocol.js'
import { STATUS_OPERATION_NOT_PERMITTED } from './constants.js'
import { MAX_NAME } from './options.js'

/** The name of a channel, and the agreement on it: the client's comes first. */
export class ChannelName {
  #name: string | null
  #asked = false
  readonly #warn: (message: string) => void
  readonly #changed: (name: string) => void

  /** `changed` is called with each new name, `warn` where one replaces another. */
  constructor(
    name: string | null,
    changed: (name: string) => void,
    warn: (message: string) => void,
  ) {
    this.#name = name
    this.#changed = changed
    this.#warn = warn
  }

  /** The name; null where nobody has given one. */
  get value(): string | null {
    return this.#name
  }

  /** The client tells its name, or null: what is to be sent. */
  ask(): string | null {
    this.#asked = true
    return this.#name
  }

  /** Takes what a client told; what is to be answered: a status and the name that it doesn't know. */
  answer(told: unknown): [status: number, name: string | null] {
    if (told === null) return [STATUS_OKAY, this.#name]
    if (!isName(told)) return [STATUS_OPERATION_NOT_PERMITTED, null]
    if (this.#name !== null && this.#name !== told) {
      this.#warn(`the channel's name ${quote(this.#name)} gives way to the client's ${quote(told)}`)
    }
    this.#take(told)
    return [STATUS_OKAY, null]
  }

  /** Takes what was answered to `ask`. */
  hear(answered: unknown): void {
    if (!this.#asked) return
    this.#asked = false
    if (this.#name === null && isName(answered)) this.#take(answered)
  }

  /** The connection is gone. */
  reset(): void {
    this.#asked = false
  }

  #take(name: string): void {
    if (name === this.#name) return
    this.#name = name
    this.#changed(name)
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_NAME
}

/** A name as logs show it: the peer's may have line breaks and worse. */
export function quote(name: string): string {
  return JSON.stringify(name)
}
