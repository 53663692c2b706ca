/**
 * Node's timers as they are when fdwire loads.
 *
 * The fake timers of a test framework replace the globals later. They must not stop fdwire's timers.
 */
export const { clearTimeout, queueMicrotask, setImmediate, setTimeout } = globalThis
export const { nextTick } = process

/** Milliseconds on the clock of those timers. */
export const now = performance.now.bind(performance)
