// Two processes chat with the stockings protocol: node main.mjs
//
//   main.mjs    Ada, who listens, starts the guest, and speaks first
//   guest.mjs   Grace, who connects, answers, and closes the connection
//   chat.mjs    the class that both use
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listen } from 'fdwire'
import { Chat } from './chat.mjs'

const directory = mkdtempSync(join(tmpdir(), 'fdwire-chat-'))
try {
  const path = join(directory, 'chat.sock')
  const listener = await listen(path, { protocol: 'stockings' })
  const guest = fork(new URL('guest.mjs', import.meta.url), [path])
  const ended = once(guest, 'exit')
  // Ends the loop below if the guest fails before it connects.
  ended.then(() => listener.close())

  for await (const channel of listener) {
    const ada = new Chat(channel, 'Ada')
    await ada.ready
    const lines = ada[Symbol.asyncIterator]()
    for (const text of ['Is anybody there?', 'What is the answer?', 'Goodbye']) {
      ada.write(text)
      console.log((await lines.next()).value)
    }
    if ((await lines.next()).done) console.log('Grace has closed the connection.')
    await ada.close()
  }
  const [code] = await ended
  process.exitCode = code ?? 1
} finally {
  rmSync(directory, { recursive: true })
}
