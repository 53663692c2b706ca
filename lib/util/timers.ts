/**
 * Node's timers, as they are when fdwire loads.
 *
 * A test framework may replace the globals with fake timers later, which must not stop fdwire's.
 */
export const { clearTimeout, queueMicrotask, setImmediate, setTimeout } = globalThis
export const { nextTick } = process

/** Returns the time on a monotonic clock that fake timers do not replace (ms). */
export const now = performance.now.bind(performance)
