/** Programs that serve at a path, for the tests of `__test__/peers`. */
import { vi } from 'vitest'
import type { Peer } from './processes.js'

/**
 * Repeats an attempt until a program that has been started is ready for it. Throws what the program
 * has written to stderr if it exits instead.
 */
export function whenReady<T>(program: Peer, attempt: () => Promise<T>): Promise<T> {
  // These programs write nothing to stdout, so this settles only when one exits.
  const exited = program.receive()
  return Promise.race([vi.waitFor(attempt, 20_000), exited])
}
