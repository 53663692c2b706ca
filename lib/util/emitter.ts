import { EventEmitter } from 'node:events'

/** The arguments of each event, by event name. */
type EventMap<Events> = Record<keyof Events, unknown[]>

/**
 * An EventEmitter with typed events that reports changes of its listeners to the subclass.
 *
 * It overrides the methods because `removeAllListeners()` would remove its own listeners for
 * `'newListener'` and `'removeListener'`.
 */
export abstract class WatchedEmitter<Events extends EventMap<Events>> extends EventEmitter {
  /** Called before a listener of `event` is added. It throws to refuse the listener. */
  protected abstract beforeListener(event: keyof Events): void

  /**
   * Called after listeners of `event` were added or removed; undefined: the listeners of all events
   * were removed.
   */
  protected abstract listenersChanged(event: keyof Events | undefined): void

  override on<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    this.beforeListener(event)
    super.on(event, listener as Listener)
    this.listenersChanged(event)
    return this
  }

  override addListener<E extends keyof Events & string>(
    event: E,
    listener: (...args: Events[E]) => void,
  ): this {
    return this.on(event, listener)
  }

  /** Node's implementation calls `on`. */
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
    this.listenersChanged(event)
    return this
  }

  /** Node's implementation calls `prependListener`. */
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
      // If a 'removeListener' listener throws, the listener has already been removed.
      this.listenersChanged(event)
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
      this.listenersChanged(event)
    }
    return this
  }
}

type Listener = (...args: unknown[]) => void
