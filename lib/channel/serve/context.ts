import type { Credentials } from '../../options/types.js'
import type { From } from '../../wire/message.js'
import type { Channel } from '../channel.js'
import type { ServeContext } from './options.js'

/** What the handlers of one channel share. */
export interface Shared {
  readonly channel: Channel
  readonly signal: AbortSignal
}

/** The context of one request. Its signal is made when a handler first reads it. */
export class RequestContext implements ServeContext {
  readonly from: From
  readonly channel: Channel
  declare readonly credentials?: Credentials
  readonly #shared: Shared

  constructor(shared: Shared, from: From, credentials: Credentials | undefined) {
    this.from = from
    this.channel = shared.channel
    this.#shared = shared
    if (credentials !== undefined) this.credentials = credentials
  }

  get signal(): AbortSignal {
    return this.#shared.signal
  }
}
