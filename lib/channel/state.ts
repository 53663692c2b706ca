/**
 * The states of a channel.
 *
 * ```text
 *  open ──────► peer-ended ──► closing ──► closed
 *    │  the peer's end, after     ▲           ▲
 *    │  all its messages          │           │
 *    ├──── close() ───────────────┘           │
 *    └──── destroy(), detach(), an error ─────┘   (from every state; `detach` not from `closing`)
 * ```
 *
 * - `open`: messages are delivered and sent.
 * - `peer-ended`: nothing more arrives. With `allowHalfOpen` messages can be sent until `end()`.
 * - `closing`: nothing is delivered, and no message can be sent. The queue is being sent.
 * - `closed`: the socket is closed, or detached.
 */
export type ChannelState = 'open' | 'peer-ended' | 'closing' | 'closed'
