// Calls the service: node client.mts SOCKET
import { connect } from 'fdwire'
import { type Answer, options } from './protocol.mts'

const [socket = 'rpc.sock'] = process.argv.slice(2)
const channel = await connect(socket, options())
let last = 0

async function call(method: string, ...parameters: unknown[]): Promise<unknown> {
  const id = ++last
  const { value } = await channel.request([0, id, method, parameters], {
    match: ({ value }) => Array.isArray(value) && value[0] === 1 && value[1] === id,
    timeout: 5_000,
  })
  const [, , error, result] = value as Answer
  if (error !== null) throw new Error(error)
  return result
}

const [sum, bytes] = await Promise.all([call('add', 1, 2), call('reverse', Buffer.from('abc'))])
console.log('1 + 2 =', sum)
console.log('abc reversed is', String(bytes))
await call('subtract').catch(error => console.log(error.message))
channel.send([2, 'done', [last]])
await channel.close()
