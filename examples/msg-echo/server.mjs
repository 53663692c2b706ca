// An echo server over MSG frames: node examples/msg-echo/server.mjs [port [host]]
//
// It prints the port and who connects; SIGINT and SIGTERM end it when the clients are served.
import { Channel } from 'fdwire/msg_channel'

const [port = '0', host = '127.0.0.1'] = process.argv.slice(2)
const clients = await Channel.listen(host, Number(port), { echo: true })
console.log(`Listening on ${clients.host}:${clients.port}`)
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => clients.close())

for await (const client of clients) serve(client)

async function serve(client) {
  try {
    // The next message is taken when the kernel has this one: a client that doesn't read stops here.
    for await (const message of client.iterRecv()) await client.send(message)
    console.log(`${client.ip}:${client.port} is gone`)
  } catch (error) {
    console.log(`${client.ip}:${client.port} is gone: ${error.message}`)
  }
}
