import type { Channel } from '../channel/channel.js'
import type { FdSet } from '../fds/fdset.js'
import type { Side } from './recording.js'
import type { TapLog } from './tap-log.js'

/** One end of a tapped connection. `to` is the destination on a bound datagram socket. */
export interface End {
  channel: Channel
  to?: string | Buffer | undefined
}

/** Forwards the messages of one connection, with their descriptors, and back-pressure. */
export class Forwarder {
  readonly #number: number
  readonly #log: TapLog

  constructor(number: number, log: TapLog) {
    this.#number = number
    this.#log = log
  }

  /** Forwards both directions of a connection. Resolves when both ends are closed. */
  async run(client: End, target: End): Promise<void> {
    await Promise.all([
      this.#runDirection(client, 'client', target),
      this.#runDirection(target, 'target', client),
    ])
  }

  #runDirection({ channel }: End, side: Side, other: End): Promise<void> {
    channel.on('message', (value, fds) => this.forward({ value, fds }, side, other, channel))
    channel.on('malformed', error => this.#log.failed(this.#number, error))
    // The other direction of the connection stays open until its own end.
    channel.once('end', () => other.channel.end())
    return new Promise(resolve => {
      channel.once('error', error => {
        this.#log.failed(this.#number, error)
        other.channel.destroy()
      })
      channel.once('close', resolve)
    })
  }

  /** Forwards one message. `source` is paused while the other end cannot take more. */
  forward(
    { value, fds }: { value: unknown; fds: FdSet },
    from: Side,
    { channel, to }: End,
    source: Channel,
  ): void {
    this.#log.message(this.#number, from, value, fds)
    let hasRoom = true
    try {
      hasRoom = channel.send(value as never, { fds, to })
    } catch (error) {
      this.#log.failed(this.#number, error)
    } finally {
      fds.close()
    }
    if (hasRoom) return
    source.pause()
    const resume = (drained: unknown) => {
      if (to !== undefined && drained !== to) return
      channel.off('drain', resume)
      source.resume()
    }
    channel.on('drain', resume)
  }
}
