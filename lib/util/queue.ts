/** The array that all empty queues share, so that they need no memory of their own. */
const NONE: never[] = Object.freeze([]) as unknown as never[]

/** The array is compacted only if it has more removed items than this. */
const MIN_REMOVED = 1_024

/** A first-in first-out queue whose `push` and `shift` take constant time on average. */
export class Queue<T> {
  #items: (T | undefined)[] = NONE
  /** The index of the first item. The places before it are empty. */
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  /** Adds an item at the end. */
  push(item: T): void {
    if (this.#items === NONE) this.#items = [item]
    else this.#items.push(item)
  }

  /** Returns the first item without removing it; undefined if there is none. */
  peek(): T | undefined {
    return this.#items.length === 0 ? undefined : this.#items[this.#head]
  }

  /** Returns the item at a position, counted from the first one; undefined if there is none. */
  at(index: number): T | undefined {
    return this.#items[this.#head + index]
  }

  /** Removes and returns the first item; undefined if there is none. */
  shift(): T | undefined {
    if (this.#items.length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head++
    if (this.#head >= this.#items.length) {
      this.#items = NONE
      this.#head = 0
    } else if (this.#head > MIN_REMOVED && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Returns the items that pass a test, in time proportional to the length of the queue. */
  filter(test: (item: T) => boolean): T[] {
    return (this.#items.slice(this.#head) as T[]).filter(test)
  }

  /** Removes an item wherever it is, in time proportional to the length of the queue. */
  remove(item: T): void {
    this.keepOnly(other => other !== item)
  }

  /** Removes the items that fail a test, in time proportional to the length of the queue. */
  keepOnly(test: (item: T) => boolean): void {
    const items = this.filter(test)
    this.#items = items.length === 0 ? NONE : items
    this.#head = 0
  }
}
