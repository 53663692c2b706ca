/** The memory of this process. */
import { setImmediate } from 'node:timers/promises'

/**
 * Returns the memory that is in use once garbage is collected. Finalizers and the memory of Buffers need
 * several collections, with turns of the event loop between them.
 */
export async function settledMemory(): Promise<NodeJS.MemoryUsage> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.()
    await setImmediate()
  }
  return process.memoryUsage()
}
