// Passes a descriptor and streams messages through the installed package. Prints `ok`.
import { connect, createMemfd, listen, mapMemfd, pair } from 'fdwire'

const [one, other] = pair({ protocol: 'jsoncomm' })
const file = createMemfd('bytes of a memfd')
one.send({ n: 1 }, { fds: file })
file.close()
const { value, fds } = await other.receive()
const content = mapMemfd(fds.get(0)).toString()
if (value.n !== 1 || content !== 'bytes of a memfd') throw new Error(`${value.n}: ${content}`)
fds.close()
one.destroy()
other.destroy()

const options = { protocol: 'length_prefixed', encoding: 'json' }
const server = await listen('smoke.sock', options)
server.on('connection', client => client.on('message', ({ a, b }) => client.send({ sum: a + b })))
const client = await connect('smoke.sock', options)
for (let a = 0; a < 100; a++) {
  const { sum } = (await client.request({ a, b: 1 }, { timeout: 60_000 })).value
  if (sum !== a + 1) throw new Error(`${a} + 1 is not ${sum}`)
}
await client.close()
await server.close()
console.log(`ok ${process.platform} ${process.arch} Node ${process.version}`)
