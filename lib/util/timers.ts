/**
 * Node's timers as they are when fdwire loads.
 *
 * A test framework's fake timers replace the globals later. They must not stop fdwire's own clocks.
 */
export const { clearTimeout, setImmediate, setTimeout } = globalThis

/** Milliseconds on the clock of those timers. */
export const now = performance.now.bind(performance)
