/** The other process of `fdwire bench`: counts messages, and replies to those that ask for it. */
import { connect as connectNet } from 'node:net'
import { createInterface } from 'node:readline'
import { connect } from '../open/connect.js'

const [mode, path = ''] = process.argv.slice(2)
let count = 0

/** Counts a message. Returns whether it wants a reply. */
function wantsReply({ reply }: { reply: boolean }): boolean {
  count++
  return reply
}

if (mode === 'fdwire') {
  const channel = await connect<{ reply: boolean }, number>(path, {
    protocol: 'length_prefixed',
    encoding: 'json',
  })
  channel.on('message', value => {
    if (wantsReply(value)) channel.send(count)
  })
} else if (mode === 'net') {
  const socket = connectNet(path)
  createInterface({ input: socket }).on('line', line => {
    if (wantsReply(JSON.parse(line))) socket.write(`${count}\n`)
  })
} else {
  process.on('message', (message: { reply: boolean }) => {
    if (wantsReply(message)) process.send?.(count)
  })
}
// The parent has ended.
process.on('disconnect', () => process.exit())
