/** What an empty list has, of which there are many. */
const NONE: never[] = Object.freeze([]) as unknown as never[]

/** A first-in first-out list whose `shift` takes constant time. */
export class Queue<T> {
  #items: (T | undefined)[] = NONE
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    if (this.#items === NONE) this.#items = [item]
    else this.#items.push(item)
  }

  /** The first item, which stays. */
  peek(): T | undefined {
    return this.#items[this.#head]
  }

  shift(): T | undefined {
    if (this.#items.length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head++
    if (this.#head >= this.#items.length) {
      this.#items = NONE
      this.#head = 0
    } else if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  /** Takes an item out wherever it is, which takes as long as the list is. */
  remove(item: T): void {
    const items = this.#items.slice(this.#head).filter(other => other !== item)
    this.#items = items.length === 0 ? NONE : items
    this.#head = 0
  }
}
