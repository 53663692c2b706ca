// A language server with vscode-languageserver, on stdin and stdout.
import { createConnection, ProposedFeatures } from 'vscode-languageserver/node'

const connection = createConnection(ProposedFeatures.all, process.stdin, process.stdout)
connection.onInitialize(({ capabilities }) => ({
  capabilities: { hoverProvider: true },
  serverInfo: { name: `server of ${Object.keys(capabilities).join()}` },
}))
connection.onDidOpenTextDocument(({ textDocument: { uri, text } }) => {
  const range = { start: { line: 0, character: 0 }, end: { line: 0, character: text.length } }
  connection.sendDiagnostics({ uri, diagnostics: [{ range, message: `naïve 😀 ${text}` }] })
})
connection.onHover(({ position }) => ({ contents: `line ${position.line}` }))
connection.listen()
