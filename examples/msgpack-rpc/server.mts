// A service with MessagePack RPC: node server.mts SOCKET
import { listen } from 'fdwire'
import { type Answer, options } from './protocol.mts'

const methods: Record<string, (...parameters: unknown[]) => unknown> = {
  add: (a, b) => Number(a) + Number(b),
  /** MessagePack has bytes, which JSON has not. */
  reverse(bytes) {
    if (!(bytes instanceof Uint8Array)) throw new TypeError('Expected bytes')
    return bytes.toReversed()
  },
}

const [socket = 'rpc.sock'] = process.argv.slice(2)
const server = await listen(socket, options())
server.serve(
  async (message: unknown): Promise<Answer | undefined> => {
    if (!Array.isArray(message)) throw new TypeError('Expected an array')
    const [type, ...rest] = message
    if (type === 2) {
      console.log('Notification:', ...rest)
      return undefined
    }
    const [id, method, parameters] = rest
    if (type !== 0 || !Number.isSafeInteger(id)) throw new TypeError('Expected [0, id, method, …]')
    try {
      if (!Object.hasOwn(methods, method)) throw new Error(`Unknown method ${method}`)
      return [1, id, null, await methods[method]?.(...parameters)]
    } catch (error) {
      return [1, id, String(error), null]
    }
  },
  // Without a reply the client's connection is closed.
  { onError: error => console.log(String(error)) },
)
console.log(`Serving ${Object.keys(methods).join(', ')} at ${socket}`)
