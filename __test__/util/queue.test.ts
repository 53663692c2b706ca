import { describe, expect, it } from 'vitest'
import { Queue } from '../../lib/util/queue.js'

describe('Queue', () => {
  it('returns items in the order in which they were added', () => {
    const queue = new Queue<number>()
    expect([queue.length, queue.peek(), queue.shift()]).toEqual([0, undefined, undefined])
    queue.push(1)
    queue.push(2)
    expect([queue.length, queue.peek(), queue.shift(), queue.length]).toEqual([2, 1, 1, 1])
    queue.push(3)
    expect([queue.shift(), queue.shift(), queue.shift(), queue.length]).toEqual([
      2,
      3,
      undefined,
      0,
    ])
  })

  it('keeps the order while many items pass through it', () => {
    const queue = new Queue<number>()
    let next = 0
    let expected = 0
    for (let round = 0; round < 100; round++) {
      for (let i = 0; i < 100; i++) queue.push(next++)
      for (let i = 0; i < 90; i++) expect(queue.shift()).toBe(expected++)
    }
    expect(queue.length).toBe(1_000)
    while (queue.length > 0) expect(queue.shift()).toBe(expected++)
    expect(expected).toBe(next)
  })

  it('removes an item from any position', () => {
    const queue = new Queue<number>()
    for (const item of [1, 2, 3, 4]) queue.push(item)
    queue.shift()
    queue.remove(3)
    queue.remove(1)
    expect([queue.length, queue.shift(), queue.shift(), queue.length]).toEqual([2, 2, 4, 0])
    queue.push(5)
    queue.remove(5)
    expect([queue.length, queue.peek()]).toEqual([0, undefined])
  })
})
