// The sandboxed process: node --permission --allow-addons --allow-fs-read=FOLDER client.mts SOCKET NAME …
//
// Node's permission model lets it read FOLDER alone, which contains this program and its packages.
import { text } from 'node:stream/consumers'
import { connect } from 'fdwire'
import { type Answer, OPTIONS, type Request } from './protocol.mts'

const [socket = 'broker.sock', ...names] = process.argv.slice(2)
const broker = await connect<Answer, Request>(socket, OPTIONS)

for (const name of names) {
  const { value, fds } = await broker.request({ open: name }, { timeout: 5_000 })
  if ('error' in value) {
    console.log(`${name}: ${value.error}`)
    continue
  }
  // The stream closes the descriptor at its end.
  const content = await text(fds.toReadStream(0))
  console.log(`${name}: ${value.size} bytes, ${content.split('\n').length - 1} lines`)
}
await broker.close()
