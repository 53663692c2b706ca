/** examples/language-server: its client runs vscode-jsonrpc, and others send what they like. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { AttackedServer, expectUnharmed } from '../support/attacked-servers.js'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const file = useExample('language-server')

async function startServer() {
  const folder = temporaryDirectory()
  const socket = join(folder, 'server.sock')
  const server = await AttackedServer.start([file('server'), socket], /^Listening/)
  return { server, socket, folder }
}

const open = async (socket: string) =>
  track(
    await connect<object, object>(socket, {
      protocol: 'content_length',
      encoding: 'json',
    }),
  )

describe('the language-server example', () => {
  it('reports the TODOs of a document to clients of vscode-jsonrpc, several at once', async () => {
    const { socket, folder } = await startServer()
    const names = ['a', 'b', 'c']
    const outputs = names.map(async name => {
      const path = join(folder, name)
      writeFileSync(path, `水 ${name}\nx\n# TODO ${name} 😀\n`)
      const args = [file('client'), socket, path]
      const { stdout, stderr } = await promisify(execFile)(process.execPath, args)
      return [stdout, stderr]
    })
    expect(await Promise.all(outputs)).toEqual(
      names.map(name => [`${join(folder, name)}:3: TODO ${name} 😀 (todo)\n`, '']),
    )
  })

  it('answers an unknown method and wrong parameters with an error', async () => {
    const { socket } = await startServer()
    const client = await open(socket)
    const call = async (method: string, params?: unknown) =>
      (await client.request({ jsonrpc: '2.0', id: 1, method, params })).value
    expect(await call('valueOf')).toMatchObject({ id: 1, error: { code: -32601 } })
    for (const params of [undefined, null, {}, { textDocument: { text: 5 } }]) {
      expect(await call('textDocument/didOpen', params)).toMatchObject({ error: { code: -32602 } })
    }
    expect(await call('shutdown')).toEqual({ jsonrpc: '2.0', id: 1, result: null })
  })

  it('survives every attack, with flat descriptors and memory', async () => {
    const { server, socket } = await startServer()
    const target = { path: socket, protocol: 'content_length', type: 'stream' } as const
    await expectUnharmed(server, target, async () => {
      const client = await open(socket)
      const call = { jsonrpc: '2.0', id: 7, method: 'shutdown' }
      const { value } = await client.request(call, { timeout: 20_000 })
      expect(value).toEqual({ jsonrpc: '2.0', id: 7, result: null })
      await client.close()
    })
  }, 180_000)
})
