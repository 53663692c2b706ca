import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { type Channel, connect } from 'fdwire'
import { describe, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import { afterTest, LINES, runCleanupsAfterEach } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

describe('a connection that its program neither reads nor writes', () => {
  it('ends when its peer closes, whatever was closed in the tick that connected it', async () => {
    // No other channel of this process is open: its turns would register the connections as well.
    const sockets: Socket[] = []
    const address = join(temporaryDirectory(), 'server')
    const server = createServer(socket => sockets.push(socket)).listen(address)
    afterTest(() => server.close())
    await once(server, 'listening')
    const clients: Channel[] = []
    for (let round = 0; round < 10; round++) {
      // The second one may take the index of the first.
      track((await connect(address, LINES)) as Channel).destroy()
      clients.push(track((await connect(address, LINES)) as Channel))
      void track((await connect(address, LINES)) as Channel).close()
    }
    const ended = clients.map(client => once(client, 'end'))
    while (sockets.length < 30) await once(server, 'connection')
    for (const socket of sockets) socket.destroy()
    await Promise.all(ended)
  })
})
