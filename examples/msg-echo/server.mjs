// An echo server over MSG frames: node server.mjs [port [host]]
//
// It prints its port and the addresses of its clients. On SIGINT or SIGTERM it stops listening, and
// exits when its clients have disconnected.
import { Channel } from 'fdwire/msg_channel'

const [port = '0', host = '127.0.0.1'] = process.argv.slice(2)
const clients = await Channel.listen(host, Number(port), { echo: true })
console.log(`Listening on ${clients.host}:${clients.port}`)
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => clients.close())

for await (const client of clients) serve(client)

async function serve(client) {
  try {
    // Awaiting `send` limits the queue: while a client does not read, its messages are not read.
    for await (const message of client.iterRecv()) await client.send(message)
    console.log(`${client.ip}:${client.port} has ended`)
  } catch (error) {
    console.log(`${client.ip}:${client.port} has failed: ${error.message}`)
  }
}
