// Prints what a language server says of a file: node client.mts SOCKET FILE
//
// The npm package vscode-jsonrpc, which editors use, takes the channel as a stream.
import { readFile } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { connect, toDuplex } from 'fdwire'
import {
  createMessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node'

interface Diagnostics {
  uri: string
  diagnostics: { range: { start: { line: number } }; message: string }[]
}

const [socket = 'language-server.sock', file = 'server.mts'] = process.argv.slice(2)
const stream = toDuplex(await connect(socket, { protocol: 'raw' }))
const server = createMessageConnection(
  new StreamMessageReader(stream),
  new StreamMessageWriter(stream),
)
server.listen()

const { serverInfo } = await server.sendRequest<{ serverInfo: { name: string } }>('initialize', {
  processId: process.pid,
  rootUri: null,
  capabilities: {},
})
const published = new Promise<Diagnostics>(resolve => {
  server.onNotification('textDocument/publishDiagnostics', resolve)
})
const uri = pathToFileURL(file).href
const text = await readFile(file, 'utf8')
const textDocument = { uri, languageId: 'plaintext', version: 1, text }
await server.sendNotification('textDocument/didOpen', { textDocument })
for (const { range, message } of (await published).diagnostics) {
  console.log(`${file}:${range.start.line + 1}: ${message} (${serverInfo.name})`)
}
await server.sendRequest('shutdown')
await server.sendNotification('exit')
server.dispose()
stream.end()
