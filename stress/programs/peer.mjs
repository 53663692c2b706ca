/**
 * A process at the other end of the traffic. Its argument says whether it is the server or a client, and
 * it talks to its parent by IPC: it reports when its links are up, and what they have counted when asked.
 */
import { openSync } from 'node:fs'
import { connectTo } from '../kinds.mjs'
import { Link } from '../link.mjs'
import { connectLinks, serveLinks } from '../links.mjs'

const { role, folder, addresses, pairFd, rate, renew, more } = JSON.parse(process.argv[2])
const fd = openSync(import.meta.filename, 'r')
const report = message => process.send?.(message)
const links = []
// The parent is gone.
process.on('disconnect', () => process.exit())

const begin = link => (rate ? link.startAt(rate.count, rate.period) : link.start())

if (role === 'server') {
  const onLink = link => links.push(begin(link))
  const servers = await serveLinks(folder, onLink, { fd: () => fd, more })
  links.push(...(await connectLinks({}, { pairFd, fd, more })).map(begin))
  report({ addresses: servers.addresses })
} else {
  links.push(...(await connectLinks(addresses, { pairFd, fd, more })).map(begin))
  report({ connected: links.length })
}

process.on('message', request => {
  if (request === 'stop') for (const link of links) link.stop()
  report({
    links: links.map(({ kind, accepted, received, problems, channel: { stats } }) => ({
      ...{ kind, accepted, received, problems, queued: stats.queued },
    })),
  })
})

/** Closes one connection after another and opens it again. */
if (renew > 0) {
  let next = 0
  setInterval(async () => {
    const at = next++ % links.length
    const { kind, channel } = links[at]
    if (kind === 'pair') return
    links[at].stop()
    await channel.close().catch(() => {})
    links[at] = begin(new Link(kind, await connectTo(kind, addresses[kind], more), { fd }).attach())
  }, renew)
}
