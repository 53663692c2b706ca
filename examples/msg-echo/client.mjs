// Sends messages to the echo server: node client.mjs <port> <message> …
import { Channel } from 'fdwire/msg_channel'

const [port, ...messages] = process.argv.slice(2)
const channel = await Channel.connect('127.0.0.1', Number(port))
for (const message of messages) channel.send(message)
for (const message of messages) {
  const echo = await channel.recv()
  if (echo === null) throw new Error('The server has closed')
  console.log(`${message} → ${echo}`)
}
await channel.close()
