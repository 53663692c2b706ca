import { markAsUntransferable } from 'node:worker_threads'
import { RECORDS, SLAB_BYTES, TABLE_WORDS } from '#native'

/** Memory that holds records, and the payloads and names that they refer to. */
export interface RecordMemory {
  bytes: Buffer
  words: Int32Array
  /** The word at which the first record begins. */
  readonly first: number
}

/**
 * The payloads and names of a turn. It stays inside lib/: user code could detach it.
 *
 * The layout of both blocks is defined by crates/node/src/table.rs.
 */
export const slab = Buffer.allocUnsafeSlow(SLAB_BYTES)

/** The records of a turn, and the descriptors that arrive or leave with messages. */
export const table = new Int32Array(TABLE_WORDS)

markAsUntransferable(slab.buffer)
markAsUntransferable(table.buffer)

/** The memory that all channels of this thread share with native code. */
export const TURN_MEMORY: RecordMemory = { bytes: slab, words: table, first: RECORDS }
