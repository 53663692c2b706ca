// Is loaded before a program: for each line of stdin it prints how many bytes the program uses.
import { createInterface } from 'node:readline'

createInterface({ input: process.stdin }).on('line', () => {
  gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  // The program may have replaced console.log.
  process.stdout.write(`memory ${heapUsed + arrayBuffers}\n`)
})
process.stdin.unref()
