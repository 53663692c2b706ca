import type { AsyncResource } from 'node:async_hooks'
import type { ChannelEvent } from '../wire/turn.js'
import type { ChannelEvents } from './events.js'

/** The parts of a channel that its receiver uses. */
export interface ReceiverHost {
  readonly context: AsyncResource
  /** Emits the events, and is the `this` of their listeners. */
  readonly channel: {
    emit<E extends 'message' | 'malformed'>(event: E, ...args: ChannelEvents<unknown>[E]): boolean
  }
  /** Queues an event that is not a message. It is handled after the messages of the same turn. */
  addEvent(event: ChannelEvent): void
  /** Notes the address of a message's sender. */
  noteSender(from: string | Buffer): void
  /** Destroys the channel with an error. */
  fail(error: Error): void
  /** Called after a call has timed out or was aborted, and after a scheduled delivery. */
  settle(): void
}
