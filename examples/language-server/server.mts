// A language server over a socket: node server.mts SOCKET
//
// It reports each TODO of a document that its client opens or changes. It keeps no documents, so its clients
// cannot fill its memory.
import { type Channel, listen } from 'fdwire'

/** A message of JSON-RPC, as a client has sent it: nothing of it is checked. */
interface Incoming {
  id?: number | string
  method?: string
  params?: unknown
}
interface Outgoing {
  jsonrpc: '2.0'
  id?: number | string
  [field: string]: unknown
}

const METHOD_NOT_FOUND = -32601
const INVALID_PARAMS = -32602

/** Returns the diagnostics of a text: its lines with TODO. */
function diagnosticsOf(text: string) {
  return [...text.split('\n').entries()].flatMap(([line, content]) => {
    const character = content.indexOf('TODO')
    const range = { start: { line, character }, end: { line, character: content.length } }
    return character < 0 ? [] : [{ range, severity: 3, message: content.slice(character) }]
  })
}

function publish(channel: Channel<unknown, Outgoing>, uri: unknown, text: unknown) {
  if (typeof text !== 'string') throw new TypeError('A document has a text')
  const params = { uri, diagnostics: diagnosticsOf(text) }
  channel.send({ jsonrpc: '2.0', method: 'textDocument/publishDiagnostics', params })
}

/** What the parameters should have. */
interface Params {
  textDocument: { uri: unknown; text: unknown }
  contentChanges: { text: unknown }[]
}
type Handler = (params: Params, channel: Channel<unknown, Outgoing>) => unknown

const handlers: Record<string, Handler> = {
  initialize: () => ({
    capabilities: { textDocumentSync: 1 },
    serverInfo: { name: 'todo' },
  }),
  shutdown: () => null,
  'textDocument/didOpen': ({ textDocument: { uri, text } }, channel) => publish(channel, uri, text),
  'textDocument/didChange': ({ textDocument: { uri }, contentChanges }, channel) =>
    publish(channel, uri, contentChanges.at(-1)?.text),
  exit: (_, channel) => channel.end(),
}

const [socket = 'language-server.sock'] = process.argv.slice(2)
const server = await listen<unknown, Outgoing>(socket, {
  protocol: 'content_length',
  encoding: 'json',
  maxMessage: 1024 * 1024,
})
server.serve(
  (message, _, { channel }) => {
    const { id, method = '', params } = (message ?? {}) as Incoming
    const reply = (fields: object) =>
      // A notification has no id, and gets no reply.
      id === undefined ? undefined : ({ jsonrpc: '2.0', id, ...fields } as Outgoing)
    const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined
    if (handler === undefined) {
      return reply({ error: { code: METHOD_NOT_FOUND, message: `Unknown method ${method}` } })
    }
    try {
      return reply({ result: handler(params as Params, channel) })
    } catch (error) {
      return reply({ error: { code: INVALID_PARAMS, message: String(error) } })
    }
  },
  { concurrency: 1 }, // a document's changes are handled in their order
)
console.log(`Listening at ${socket}`)
