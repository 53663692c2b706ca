// Is loaded before a program: for each line of stdin it prints how many bytes the program uses.
import { createInterface } from 'node:readline'

// The program may replace any of these, and console.log.
const { setImmediate } = globalThis

createInterface({ input: process.stdin }).on('line', async () => {
  // Finalizers and the memory of Buffers need several collections, with turns of the loop between them.
  for (let i = 0; i < 4; i++) {
    gc()
    await new Promise(resolve => setImmediate(resolve))
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  process.stdout.write(`memory ${heapUsed + arrayBuffers}\n`)
})
process.stdin.unref()
