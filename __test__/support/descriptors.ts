/** Setup of every test file: fails the file if it leaks or closes a descriptor. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readlinkSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { afterAll, beforeAll, expect, vi } from 'vitest'

/** Returns what each open descriptor of this process refers to. */
export function fdTargets(): string[] {
  return readdirSync('/proc/self/fd').flatMap(fd => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      // This was the descriptor that read the directory; it is closed by now.
      return []
    }
  })
}

/** Returns what each open descriptor refers to once pending handles have closed, sorted. */
export async function settledFdTargets(): Promise<string[]> {
  for (let i = 0; i < 3; i++) await setImmediate()
  return fdTargets().sort()
}

let before: string[] = []

beforeAll(() => {
  // libuv opens its signal pipe with the first child process, and never closes it.
  spawnSync('true')
  before = fdTargets().sort()
})

afterAll(async () => {
  // Some handles close in the next turn of the event loop, some descriptors in a thread.
  await vi.waitFor(() => expect(fdTargets().sort()).toEqual(before))
})
