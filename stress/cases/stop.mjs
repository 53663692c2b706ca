/**
 * SIGSTOP of a peer under load: first of a client, then of a server. Meanwhile, other peers are served, and
 * the queues for the stopped peer stay within their limits. After SIGCONT every message arrives, once and in
 * order.
 */
import { closeSync, statSync } from 'node:fs'
import { canary, check, openFds, until, untilFds } from '../accounts.mjs'
import { inFolder, kill, startPeer, warmUp } from '../children.mjs'
import { KINDS, pairForChild } from '../kinds.mjs'
import { connectLinks, serveLinks } from '../links.mjs'

export const title = 'SIGSTOP and SIGCONT of a peer under load'
export const options = { stops: { short: 2, long: 50 } }

/** Messages of each kind that the other peer exchanges while one is stopped. */
const PROGRESS = 200
/** What a link may queue, in bytes: the high-water mark of 64 KiB and one message. */
const MAX_QUEUED = 128 * 1024
/** Datagrams stay queued for as long as the stop lasts. */
const more = { sendTimeout: 0 }

const PEER = new URL('../programs/peer.mjs', import.meta.url)

/** A case is a side with a type of socket; an execution is a connection. */
export const count = ({ connections }) => ({ cases: 2 * KINDS.length, executions: connections })

export async function run({ stops }) {
  await warmUp()
  const totals = { messages: 0, descriptors: 0, meanwhile: 0, queuedBytes: 0 }
  for (let i = 0; i < stops; i++) {
    for (const stopped of ['client', 'server']) {
      const before = openFds()
      await runOnce(stopped, totals)
      await untilFds(before)
    }
  }
  return { stops: 2 * stops, connections: 4 * stops * KINDS.length, ...totals }
}

async function runOnce(role, totals) {
  const sent = canary()
  const inode = statSync(PEER).ino
  await inFolder(async folder => {
    let collecting = []
    const settings = { fd: () => sent.fd, inode, more }
    const served =
      role === 'client'
        ? await serveLinks(folder, link => collecting.push(link.start()), settings)
        : undefined
    const startOne = async () => {
      collecting = []
      return startWith(role, served, sent.fd, inode, collecting)
    }
    const [one, other] = [await startOne(), await startOne()]
    await stopOne(one, other, totals)
    for (const peer of [one, other]) await finish(peer, totals)
    for (const { peer } of [one, other]) await kill(peer)
    for (const { links } of [one, other]) for (const { channel } of links) channel.destroy()
    await served?.close()
  })
  await sent.released()
}

/** Starts a peer; resolves when messages of every kind arrive from it. */
async function startWith(role, served, fd, inode, links) {
  return inFolder(async folder => {
    const [pair, pairFd] = pairForChild(more)
    const settings = { role, folder, addresses: served?.addresses, more }
    const peer = startPeer(settings, pairFd)
    closeSync(pairFd)
    const { addresses = {} } = await peer.next()
    const own = await connectLinks(addresses, { pair, fd, inode, more })
    links.push(...own.map(link => link.start()))
    await until(
      () => links.length === KINDS.length && links.every(({ received }) => received > 0),
      'messages of all kinds',
    )
    return { peer, links }
  })
}

/** Stops a peer until another has exchanged many messages, and lets it go on. */
async function stopOne(stopped, other, totals) {
  stopped.peer.child.kill('SIGSTOP')
  const goals = other.links.map(({ received }) => received + PROGRESS)
  await until(
    () => other.links.every(({ received }, i) => received >= goals[i]),
    () =>
      `the other peer to be served: ${other.links.map(({ kind, received }, i) => `${kind} ${received} of ${goals[i]}`)}`,
  )
  const queued = stopped.links.map(({ channel }) => channel.stats.queuedBytes)
  check(Math.max(...queued) <= MAX_QUEUED, `${queued} bytes are queued for a stopped peer`)
  totals.meanwhile += other.links.length * PROGRESS
  totals.queuedBytes = Math.max(totals.queuedBytes, ...queued)
  stopped.peer.child.kill('SIGCONT')
}

/** Ends the traffic with a peer. Whatever one side has accepted, the other has received. */
async function finish({ peer, links }, totals) {
  const { links: theirs } = await peer.ask('stop')
  for (const link of links) link.stop()
  for (const link of links) {
    const { accepted } = theirs.find(({ kind }) => kind === link.kind)
    await until(
      () => link.received === accepted,
      () => `${link.kind}: ${accepted} messages; ${link.received} have come`,
    )
  }
  await untilReceived(peer, links)
  for (const link of links) {
    check(link.problems.length === 0, `${link.kind}: ${link.problems.slice(0, 5).join('; ')}`)
    totals.messages += link.received + link.accepted
    totals.descriptors += link.receivedFds
  }
}

/** Waits until the peer has received what these links have sent. */
async function untilReceived(peer, links) {
  const accepted = new Map(links.map(link => [link.kind, link.accepted]))
  let missing
  await until(
    async () => {
      const { links: theirs } = await peer.ask('count')
      const problems = theirs.flatMap(({ problems }) => problems)
      check(problems.length === 0, problems.slice(0, 5).join('; '))
      missing = theirs.filter(({ kind, received }) => received !== accepted.get(kind))
      return missing.length === 0
    },
    () => `the peer to receive everything: ${JSON.stringify(missing)}`,
  )
}
