// @ts-check
/**
 * What the servers of `work=accept` and `work=idle` share: when a batch is over. Their client is the
 * floor's, for all of them, so that the server alone makes the difference.
 */

import { readdirSync } from 'node:fs'
import { options, say } from './common.mjs'

let echoed = 0
let closed = 0

/** A connection's message went back; the last one of a batch of idle ones ends it. */
export function countEcho() {
  if (++echoed % options.count === 0 && options.work === 'idle') setImmediate(reportMemory)
}

/** A connection is closed; with the last one of a batch the next can begin. */
export function countClose() {
  if (++closed % options.count !== 0 || options.work === 'idle') return
  const open = readdirSync('/proc/self/fd').length
  say({ event: 'done', end: String(process.hrtime.bigint()), wrong: 0, open })
}

function reportMemory() {
  // The first one leaves what has a finalizer to the second.
  for (let i = 0; i < 2; i++) globalThis.gc?.()
  const resident = process.memoryUsage.rss()
  // Descriptors grow here as they should: connections stay open.
  say({ event: 'done', end: String(process.hrtime.bigint()), wrong: 0, open: 0, resident })
}
