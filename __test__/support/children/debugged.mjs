// Opens, accepts, drops, receives something malformed, and closes, for NODE_DEBUG=fdwire.
import { once } from 'node:events'
import { connect, listen } from 'fdwire'

const LINES = { protocol: 'lines' }
const [path] = process.argv.slice(2)
let admits = true
const listener = await listen(path, { ...LINES, encoding: 'json', allowPeer: () => admits })
const connection = once(listener, 'connection')
const client = await connect(path, LINES)
const [channel] = await connection
client.send('secret, and no JSON')
client.send('"secret"')
await channel.receive()
admits = false
const dropped = once(listener, 'drop')
listener.on('connection', () => {})
const second = await connect(path, LINES)
await dropped
await Promise.all([client.close(), channel.close(), second.close()])
await listener.close()
