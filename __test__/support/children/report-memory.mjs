// Is loaded before a program: for each line of stdin it prints how many bytes the program uses.
import { createInterface } from 'node:readline'

createInterface({ input: process.stdin }).on('line', () => {
  gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  console.log(`memory ${heapUsed + arrayBuffers}`)
})
process.stdin.unref()
