// Counts the lines of files that its clients have opened, and that it may not open itself.
import { createInterface } from 'node:readline'
import { FdSet } from 'fdwire'
import { connectBus } from './bus.mjs'

const NAME = 'org.example.LineCounter'
const counter = {
  /** `index` is the place of the file among the descriptors of the message. */
  async Count(index, { fds }) {
    const files = FdSet.from(fds)
    try {
      let lines = 0
      for await (const _ of createInterface({ input: files.toReadStream(index) })) lines++
      return lines
    } finally {
      files.close()
    }
  },
}

const bus = await connectBus()
bus.exportInterface(counter, '/', { name: NAME, methods: { Count: ['h', 'u'] } })
await bus.requestName(NAME, 0)
console.log(`${NAME} is ready`)
