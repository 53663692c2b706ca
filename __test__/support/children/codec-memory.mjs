/**
 * Decodes and encodes 512 MiB in one turn of the event loop. Prints the largest amount of memory that
 * Buffers have held at once (bytes).
 */
import { Codec } from 'fdwire'

const CHUNK = 64 * 1024
const codec = new Codec('length_prefixed')
const frame = codec.encode(Buffer.alloc(CHUNK))
let largest = 0
for (let chunk = 0; chunk < 4_096; chunk++) {
  codec.push(frame)
  codec.encode(frame)
  if (chunk % 64 === 0) largest = Math.max(largest, process.memoryUsage.rss())
}
console.log(JSON.stringify(largest))
