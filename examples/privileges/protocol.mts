// What the client and the broker say to each other.

/** Requests a file by the name that the broker has given it. */
export interface Request {
  open: string
}

/** The answer: beside `size` (bytes) the message has the descriptor of the open file. */
export type Answer = { size: number } | { error: string }

export const OPTIONS = { protocol: 'jsoncomm', type: 'seqpacket' } as const
