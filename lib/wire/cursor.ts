import { RecordKind } from '#native'
import type { Incoming } from './message.js'
import type { MessageReader } from './reader.js'
import { type TurnRecords, turn } from './turn.js'

const { Messages } = RecordKind

/**
 * The unread part of a turn: the rest of the plain messages of one record, then the records after
 * it.
 */
export class Cursor {
  readonly #records: TurnRecords
  /** The next unread record, and the number of records. */
  #record = 0
  #recordEnd = 0
  /** The next unread plain message, and the end of those of its record. */
  span = 0
  spanEnd = 0

  constructor(records: TurnRecords) {
    this.#records = records
  }

  /** Begins a turn of `count` records, which native code has just written. */
  begin(count: number): void {
    this.#records.begin()
    this.#record = 0
    this.#recordEnd = count
    this.span = 0
    this.spanEnd = 0
  }

  /** Ends the turn. */
  end(): void {
    this.#records.end()
  }

  /**
   * Takes the next record if it describes plain messages, so that `span` is the first of them.
   * All earlier messages must have been read.
   */
  openPlain(): boolean {
    if (this.#record === this.#recordEnd) return false
    if (this.#records.kind(this.#record) !== Messages) return false
    this.span = this.#records.place(this.#record)
    this.spanEnd = this.span + this.#records.length(this.#record)
    this.#record++
    this.#records.beginPlain(this.spanEnd)
    return true
  }

  /**
   * Takes the next message and reads it. Returns the index of a record that is another event, and
   * undefined at the end of the turn.
   */
  read(reader: MessageReader): Incoming | number | undefined {
    if (this.span < this.spanEnd || this.openPlain()) return reader.readSpan(this.span++)
    if (this.#record === this.#recordEnd) return undefined
    const index = this.#record++
    return reader.read(index) ?? index
  }

  /** The number of unread messages. */
  get messages(): number {
    const plain = this.spanEnd - this.span
    return plain + this.#records.countMessages(this.#record, this.#recordEnd)
  }

  /** The number of unread records that describe no messages. */
  get events(): number {
    let events = 0
    for (let index = this.#record; index < this.#recordEnd; index++) {
      if (this.#records.countMessages(index, index + 1) === 0) events++
    }
    return events
  }
}

/** The unread part of the current turn of this thread. Native code runs one turn at a time. */
export const cursor = new Cursor(turn)
