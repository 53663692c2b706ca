import { EventEmitter } from 'node:events'

/** The arguments of each event, by its name. */
type EventMap<Events> = Record<keyof Events, unknown[]>

/**
 * An EventEmitter with typed events that notices when its listeners change.
 *
 * Its own methods are the only sure way to: an internal `newListener` listener would be gone with
 * the user's first `removeAllListeners()`.
 */
export abstract class WatchedEmitter<Events extends EventMap<Events>> extends EventEmitter {
  /** A listener of `event` is about to be added: the place to refuse it. */
  protected abstract beforeListener(event: keyof Events): void

  /** Listeners of some event were added or removed. */
  protected abstract listenersChanged(): void

  override on<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    this.beforeListener(event)
    super.on(event, listener as Listener)
    this.listenersChanged()
    return this
  }

  override addListener<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    return this.on(event, listener)
  }

  /** Adds itself by `on`. */
  override once<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    return super.once(event, listener as Listener)
  }

  override prependListener<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    this.beforeListener(event)
    super.prependListener(event, listener as Listener)
    this.listenersChanged()
    return this
  }

  /** Adds itself by `prependListener`. */
  override prependOnceListener<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    return super.prependOnceListener(event, listener as Listener)
  }

  override removeListener<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    try {
      super.removeListener(event, listener as Listener)
    } finally {
      // A 'removeListener' listener that throws comes too late to keep it.
      this.listenersChanged()
    }
    return this
  }

  override off<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    return this.removeListener(event, listener)
  }

  override removeAllListeners(event?: keyof Events & string): this {
    try {
      if (event === undefined) super.removeAllListeners()
      else super.removeAllListeners(event)
    } finally {
      this.listenersChanged()
    }
    return this
  }
}

type Listener = (...args: unknown[]) => void
