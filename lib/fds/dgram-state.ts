import type { Socket } from 'node:dgram'

/** What stands behind a dgram.Socket. */
export interface DgramState {
  /** Null once the socket is closed; its `fd` is negative until the socket is bound. */
  handle: DgramHandle | null
}

export interface DgramHandle {
  readonly fd: number
  /** Returns 0 or a negative errno, and leaves the descriptor alone when it fails. */
  open(fd: number): number
  /** Writes the socket's own address into `out`. */
  getsockname(out: { family?: string }): number
  connect: unknown
  readonly connect6: unknown
}

let stateSymbol: symbol | undefined

/**
 * The state of a dgram.Socket, past its `_handle` getter, which is deprecated (DEP0112).
 *
 * Node keeps it under a symbol of this description from 20 to 26 at least.
 */
export function dgramState(socket: Socket): DgramState {
  stateSymbol ??= Object.getOwnPropertySymbols(socket).find(
    symbol => symbol.description === 'state symbol',
  )
  const state = (socket as unknown as Record<symbol, DgramState>)[stateSymbol ?? Symbol()]
  return state ?? { handle: null }
}
