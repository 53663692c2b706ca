import { STATUS_OKAY } from '../../options/socket_protocol.js'
import { STATUS_OPERATION_NOT_PERMITTED } from './constants.js'
import { MAX_NAME } from './options.js'

/** The channel name and its negotiation, in which the client's name takes precedence. */
export class ChannelName {
  #name: string | null
  /** Whether this side has sent a request and awaits the response. */
  #isRequested = false
  readonly #warn: (message: string) => void
  readonly #onChange: (name: string) => void

  /** `onChange` is called with each new name, `warn` before a name replaces another one. */
  constructor(
    name: string | null,
    onChange: (name: string) => void,
    warn: (message: string) => void,
  ) {
    this.#name = name
    this.#onChange = onChange
    this.#warn = warn
  }

  /** The name; null if neither side has set one. */
  get value(): string | null {
    return this.#name
  }

  /** Begins the negotiation as the client. Returns the name to send, null for none. */
  request(): string | null {
    this.#isRequested = true
    return this.#name
  }

  /** Handles a client's request. Returns the status and the name for the answer. */
  receiveRequest(name: unknown): [status: number, name: string | null] {
    if (name === null) return [STATUS_OKAY, this.#name]
    if (!isName(name)) return [STATUS_OPERATION_NOT_PERMITTED, null]
    if (this.#name !== null && this.#name !== name) {
      this.#warn(`the client's channel name ${quote(name)} replaces ${quote(this.#name)}`)
    }
    this.#set(name)
    return [STATUS_OKAY, null]
  }

  /** Handles the response to `request`. */
  receiveResponse(name: unknown): void {
    if (!this.#isRequested) return
    this.#isRequested = false
    if (this.#name === null && isName(name)) this.#set(name)
  }

  /** Forgets a request whose response is outstanding, after the connection has ended. */
  reset(): void {
    this.#isRequested = false
  }

  #set(name: string): void {
    if (name === this.#name) return
    this.#name = name
    this.#onChange(name)
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_NAME
}

/** Quotes a name for logs. Escapes line breaks, with which a peer could forge log lines. */
export function quote(name: string): string {
  return JSON.stringify(name)
}
