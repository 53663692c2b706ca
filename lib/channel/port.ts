import { environment, flushSoon, hot, release, unregister } from '../native/environment.js'

/** Where a channel's bytes come from and go to: a socket, or something else that carries them. */
export interface Port {
  /** Whether messages are wanted; a negative errno where that can't be had, else 0. */
  want(wanted: boolean): number
  /** Has what `send` gathered go out by the end of this tick. */
  flushSoon(): void
  /** Has it go out now. */
  flush(): void
  /** Ends our side when everything is sent. */
  finish(): void
  /**
   * Begins to close: ends our side and drops what comes. `done` is called when nothing is to be
   * waited for any more, maybe at once; the channel calls it itself when the peer ends.
   */
  shut(peerEnded: boolean, done: () => void): void
  /** Closes; native code forgets the channel. */
  close(): void
  /** Takes the descriptor out, which stays open; -1 where there is none. */
  release(): number
}

/** A socket of native code. */
export class SocketPort implements Port {
  readonly #index: number
  readonly flushSoon: () => void

  /** `gathers`: whether sent messages are gathered, as on a stream. */
  constructor(index: number, gathers: boolean) {
    this.#index = index
    this.flushSoon = gathers ? flushSoon : nothing
  }

  want(wanted: boolean): number {
    return hot.setReading(this.#index, wanted ? 1 : 0) ?? 0
  }

  flush(): void {
    environment.flush(this.#index)
  }

  finish(): void {
    environment.finish(this.#index)
  }

  shut(peerEnded: boolean, done: () => void): void {
    const index = this.#index
    if (peerEnded || environment.localAddress(index)?.host === undefined) {
      // Unread data would be a reset for the peer, who would lose what it has not read.
      environment.discardNow(index)
      done()
      return
    }
    environment.finish(index)
    try {
      environment.discard(index)
    } catch {
      done()
    }
  }

  close(): void {
    unregister(this.#index)
  }

  release(): number {
    return release(this.#index)
  }
}

function nothing(): void {}
