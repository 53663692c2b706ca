// @ts-check
/** All scenarios, in the order in which they run. */

import { connections } from './connections.mjs'
import { datagrams } from './datagrams.mjs'
import { descriptors } from './descriptors.mjs'
import { dispatch } from './dispatch.mjs'
import { latency } from './latency.mjs'
import { lone } from './lone.mjs'
import { many } from './many.mjs'
import { streams } from './streams.mjs'

export const scenarios = [
  ...datagrams,
  ...descriptors,
  ...streams,
  ...latency,
  ...lone,
  ...many,
  ...connections,
  ...dispatch,
]
