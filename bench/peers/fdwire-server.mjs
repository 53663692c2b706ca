// @ts-check
/** A server on fdwire that echoes what each connection says. */

import { listen } from 'fdwire'
import { options, say } from './common.mjs'
import { countClose, countEcho } from './connections.mjs'

/** @type {any} */
const protocol = { protocol: 'length_prefixed', encoding: 'text', backlog: 4096 }
const listener = await listen(options.path, protocol)
listener.on('connection', (/** @type {any} */ channel) => {
  channel.on('message', (/** @type {string} */ text) => {
    channel.send(text)
    countEcho()
  })
  channel.on('close', countClose)
})
say({ event: 'ready' })
