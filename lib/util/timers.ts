/**
 * Node's timers as they are when fdwire loads.
 *
 * A test framework's fake timers replace the globals later. They must not stop fdwire's own clocks.
 */
export const { clearTimeout, setImmediate, setTimeout } = globalThis
