// @ts-check
/** Connections with fdwire. */

import { connect, listen, pair } from 'fdwire'
import { options } from './common.mjs'
import { runSystem } from './connections.mjs'

/** @type {any} */
const protocol = { protocol: 'length_prefixed', encoding: 'text' }

/** @param {(channel: any) => void} accepted */
async function listenWith(accepted) {
  const listener = await listen(options.path, { ...protocol, backlog: 4096 })
  listener.on('connection', accepted)
}

await runSystem({
  listen: listenWith,
  connect: () => connect(options.path, protocol),
  pair: () => pair(protocol),
  close: channel => void channel.close(),
  serve: (echoed, closed) =>
    listenWith(channel => {
      channel.on('message', (/** @type {string} */ text) => {
        channel.send(text)
        echoed()
      })
      channel.on('close', closed)
    }),
  ask: async (text, replied) => {
    /** @type {any} */
    const channel = await connect(options.path, protocol)
    channel.on('message', replied)
    channel.send(text)
    return channel
  },
})
