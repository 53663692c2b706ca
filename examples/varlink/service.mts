// A varlink service with one interface, org.example.counter: node service.mts SOCKET
//
// A message of varlink is JSON that a zero byte ends. Types and errors are those of
// https://varlink.org/Method-Call.
import { once } from 'node:events'
import { type Channel, listen } from 'fdwire'

interface Call {
  method: string
  parameters?: Record<string, unknown>
  /** The client takes several replies. */
  more?: boolean
  /** The client takes none. */
  oneway?: boolean
}
type Parameters = Record<string, unknown>
type Answer =
  | { parameters?: Parameters; continues?: boolean }
  | { error: string; parameters?: Parameters }

const DESCRIPTION = `interface org.example.counter
method Double(text: string) -> (text: string)
method Count(to: int) -> (number: int)
error TooFar (to: int)
`

/** An error of varlink, which is a reply. */
class VarlinkError extends Error {
  readonly reply: Answer
  constructor(error: string, parameters: Parameters = {}) {
    super(error)
    this.reply = { error, parameters }
  }
}
const invalid = (parameter: string) =>
  new VarlinkError('org.varlink.service.InvalidParameter', { parameter })

type Method = (
  parameters: Parameters,
  more: (result: Parameters) => Promise<void>,
) => Parameters | Promise<Parameters>

const methods: Record<string, Method> = {
  'org.varlink.service.GetInfo': () => ({
    vendor: 'example',
    product: 'counter',
    version: '1',
    url: 'https://example.org',
    interfaces: ['org.varlink.service', 'org.example.counter'],
  }),
  'org.varlink.service.GetInterfaceDescription': () => ({ description: DESCRIPTION }),
  'org.example.counter.Double': ({ text }) => {
    if (typeof text !== 'string') throw invalid('text')
    return { text: text + text }
  },
  'org.example.counter.Count': async ({ to }, more) => {
    if (!Number.isSafeInteger(to)) throw invalid('to')
    const last = to as number
    if (last > 1_000) throw new VarlinkError('org.example.counter.TooFar', { to })
    for (let number = 0; number < last; number++) await more({ number })
    return { number: last }
  },
}

/** Handles a call: sends its first replies, and returns the last one. */
async function answer(call: Call, channel: Channel<unknown, Answer>, signal: AbortSignal) {
  const method = Object.hasOwn(methods, call?.method) ? methods[call.method] : undefined
  if (method === undefined) {
    throw new VarlinkError('org.varlink.service.MethodNotFound', { method: String(call?.method) })
  }
  const more = async (parameters: Parameters) => {
    if (call.more !== true) return
    // A client that does not read its replies stops the method here.
    if (!channel.send({ parameters, continues: true })) await once(channel, 'drain', { signal })
  }
  return { parameters: await method(call.parameters ?? {}, more) }
}

const [socket = 'counter.sock'] = process.argv.slice(2)
const service = await listen<unknown, Answer>(socket, {
  protocol: 'lines',
  delimiter: '\0',
  encoding: 'json',
})
service.serve(
  async (call, _, { channel, signal }) => {
    const reply = await answer(call as Call, channel, signal)
    return (call as Call).oneway ? undefined : reply
  },
  {
    concurrency: 1, // the replies of one call are not mixed with those of the next
    onError: error => (error instanceof VarlinkError ? error.reply : undefined),
  },
)
console.log(`Serving org.example.counter at ${socket}`)
