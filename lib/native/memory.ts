import { markAsUntransferable } from 'node:worker_threads'
import { BLOCK_BYTES, RECORDS, SLAB_BYTES, SPANS, TABLE_WORDS } from '#native'

/** Memory that holds records, and the payloads and addresses that they refer to. */
export interface RecordMemory {
  bytes: Buffer
  words: Int32Array
  /** The index in `words` at which the first record begins. */
  readonly first: number
  spans: Int32Array
  /** The index in `spans` at which the first span begins: the payload of a message. */
  readonly firstSpan: number
}

/**
 * The payloads and addresses of a turn. It must not reach user code, which could detach it.
 *
 * crates/node/src/table.rs defines the layout of the slab and the table.
 */
export const slab: Buffer = Buffer.allocUnsafeSlow(SLAB_BYTES)

/**
 * The records of a turn, the descriptors of received and sent messages, the records of gathered
 * messages, and the counters.
 */
export const table: Int32Array = new Int32Array(TABLE_WORDS)

/** The gathered messages that are bytes. */
export const block: Buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)

markAsUntransferable(slab.buffer)
markAsUntransferable(table.buffer)
markAsUntransferable(block.buffer)

/** The memory that all channels of this thread share with native code. */
export const TURN_MEMORY: RecordMemory = {
  bytes: slab,
  words: table,
  first: RECORDS,
  spans: table,
  firstSpan: SPANS,
}
