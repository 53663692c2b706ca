import type { Socket } from 'node:dgram'

/** The internal state of a dgram.Socket. */
export interface DgramState {
  /** Null once the socket is closed. */
  handle: DgramHandle | null
}

/** The handle that libuv's UDP socket has in Node. */
export interface DgramHandle {
  /** Negative until the socket is bound. */
  readonly fd: number
  /** Returns 0 or a negated errno. If it fails, the descriptor stays open. */
  open(fd: number): number
  /** Writes the address of the socket into `out`. */
  getsockname(out: { family?: string }): number
  connect: unknown
  readonly connect6: unknown
}

let stateSymbol: symbol | undefined

/**
 * Returns the internal state of a dgram.Socket, whose `_handle` getter is deprecated (DEP0112).
 *
 * Node 20 to 26 store the state under a symbol with the description `state symbol`.
 */
export function dgramState(socket: Socket): DgramState {
  stateSymbol ??= Object.getOwnPropertySymbols(socket).find(
    symbol => symbol.description === 'state symbol',
  )
  const state = (socket as unknown as Record<symbol, DgramState>)[stateSymbol ?? Symbol()]
  return state ?? { handle: null }
}
