// The privileged process: node broker.mts SOCKET NAME=PATH …
//
// It opens the files of an allow-list, for clients that may open none. A client knows their names, not
// their paths.
import { open } from 'node:fs/promises'
import { listen, Reply } from 'fdwire'
import { type Answer, OPTIONS } from './protocol.mts'

const [socket = 'broker.sock', ...entries] = process.argv.slice(2)
const paths = new Map(entries.map(entry => entry.split('=') as [name: string, path: string]))

/** Returns the name that is requested. A message is whatever the client has sent. */
function nameIn(request: unknown): string {
  const { open } = (request ?? {}) as { open?: unknown }
  if (typeof open !== 'string') throw new TypeError('Expected { open: name }')
  return open
}

// `unknown`: the types of a program that is not trusted are no more than a claim.
const broker = await listen<unknown, Answer>(socket, OPTIONS)
broker.serve(
  async request => {
    const path = paths.get(nameIn(request))
    if (path === undefined) throw new Error('No such file')
    const file = await open(path, 'r')
    const { size } = await file.stat()
    return new Reply({ size }, { fds: [file] }) // `serve` closes the file once it is sent
  },
  {
    onError: (error, request, { channel }) => {
      const pid = channel.peer && 'pid' in channel.peer ? channel.peer.pid : 0
      console.log(`Refused ${JSON.stringify(request)} of process ${pid}: ${error}`)
      return { error: 'No such file' } // what went wrong is not the client's business
    },
  },
)
console.log(`Serving ${[...paths.keys()].join(', ')} at ${socket}`)
