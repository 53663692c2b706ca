// @ts-check
/** What is measured, with the targets of the design's section 5. */

import { connections } from './connections.mjs'
import { datagrams } from './datagrams.mjs'
import { passings } from './passing.mjs'
import { streams } from './streams.mjs'

export const scenarios = [...datagrams, ...passings, ...streams, ...connections]
