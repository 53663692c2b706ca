// node client.mjs FILE: asks the service how many lines the file has.
import { open } from 'node:fs/promises'
import { connectBus } from './bus.mjs'

const NAME = 'org.example.LineCounter'
const [file] = process.argv.slice(2)
if (file === undefined) throw new Error('Usage: node client.mjs FILE')

const bus = await connectBus()
const handle = await open(file)
const lines = await bus.invoke({
  destination: NAME,
  path: '/',
  interface: NAME,
  member: 'Count',
  signature: 'h',
  body: [0],
  fds: [handle.fd],
})
await handle.close()
console.log(`${file} has ${lines} lines`)
await bus.close()
