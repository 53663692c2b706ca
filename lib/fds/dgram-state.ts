import type { Socket } from 'node:dgram'

/** The internal state of a dgram.Socket. */
export interface DgramState {
  /** Null once the socket is closed. Its `fd` is negative until the socket is bound. */
  handle: DgramHandle | null
}

export interface DgramHandle {
  readonly fd: number
  /** Returns 0, or a negative errno and leaves the descriptor open. */
  open(fd: number): number
  /** Writes the address of the socket into `out`. */
  getsockname(out: { family?: string }): number
  connect: unknown
  readonly connect6: unknown
}

let stateSymbol: symbol | undefined

/**
 * Returns the state of a dgram.Socket. Its `_handle` getter is deprecated (DEP0112).
 *
 * Node 20 to 26 keep the state under a symbol of this description.
 */
export function dgramState(socket: Socket): DgramState {
  stateSymbol ??= Object.getOwnPropertySymbols(socket).find(
    symbol => symbol.description === 'state symbol',
  )
  const state = (socket as unknown as Record<symbol, DgramState>)[stateSymbol ?? Symbol()]
  return state ?? { handle: null }
}
