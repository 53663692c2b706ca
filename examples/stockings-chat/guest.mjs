import { connect } from 'fdwire'
import { Chat } from './chat.mjs'

const ANSWERS = ['I am.', '42, and not a bit more.', 'Goodbye, Ada.']

const [path] = process.argv.slice(2)
const grace = new Chat(await connect(path, { protocol: 'stockings' }), 'Grace')
await grace.ready
for await (const line of grace) {
  console.log(line)
  grace.write(ANSWERS.shift())
  if (ANSWERS.length === 0) break
}
await grace.close()
process.disconnect()
