/** Set up for every test file: it must leave the descriptors as it found them. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, expect } from 'vitest'

/** What the open descriptors lead to. */
export function links(): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      // The descriptor of the directory itself.
      return []
    }
  })
}

let before: string[] = []

beforeAll(() => {
  // The first child of a process brings libuv's signal pipe, which stays.
  spawnSync('true')
  before = links().sort()
})

afterAll(async () => {
  // What closes in the loop's next turn is closed.
  await setImmediate()
  await setImmediate()
  expect(links().sort()).toEqual(before)
})
