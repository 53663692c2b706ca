/**
 * Repeated kill -9 of a peer under load: first of a client, then of a server. The killed process has one
 * connection of each kind of socket, with messages and descriptors in flight in both directions.
 */
import { closeSync, statSync } from 'node:fs'
import { canary, check, growth, memory, openFds, until, untilFds } from '../accounts.mjs'
import { inFolder, kill, startPeer } from '../children.mjs'
import { hasEnd, KINDS, pairForChild } from '../kinds.mjs'
import { connectLinks, serveLinks } from '../links.mjs'

export const title = 'kill -9 of a peer under load'
export const options = { kills: { short: 10, long: 1_000 } }

/** Messages that arrive before a kill: the number differs for each kill. */
const MOST = 400
/** Kills between two samples of the memory. */
const SAMPLE = 10
/** How much more memory may be in use at the end, in bytes. */
const MAX_GROWTH = 4 * 1024 * 1024

const PEER = new URL('../programs/peer.mjs', import.meta.url)

/** A case is a side with a type of socket; an execution is a connection whose peer was killed. */
export const count = ({ kills, connections }) => ({
  cases: 2 * KINDS.length,
  executions: connections,
  kills,
})

export async function run({ kills }) {
  const sides = {}
  for (const victim of ['client', 'server'])
    sides[victim] = await inFolder(f => runSide(victim, f, kills))
  return { kills: 2 * kills, connections: 2 * kills * KINDS.length, ...sides }
}

/** Kills `kills` processes on one side. This process survives all of them. */
async function runSide(victim, folder, kills) {
  const totals = { messages: 0, sent: 0, descriptors: 0, endings: {} }
  const inode = statSync(PEER).ino
  const memories = []
  let current
  const served =
    victim === 'client'
      ? await serveLinks(folder, link => current.links.push(link.start()), {
          fd: () => current.canary.fd,
          inode,
        })
      : undefined
  let baseline
  for (let i = 0; i < kills; i++) {
    current = { canary: canary(), links: [] }
    const [pair, pairFd] = pairForChild()
    const settings = { role: victim, folder, addresses: served?.addresses }
    const peer = startPeer(settings, pairFd)
    closeSync(pairFd)
    const { addresses = {} } = await peer.next()
    const own = await connectLinks(addresses, { pair, fd: current.canary.fd, inode })
    current.links.push(...own.map(link => link.start()))
    await killInTraffic(peer, current.links, (i * 37) % MOST)
    for (const link of current.links) await settle(link, served)
    add(totals, current.links)
    await current.canary.released()
    baseline ??= openFds()
    await untilFds(baseline)
    if (i % SAMPLE === 0) memories.push(memory())
  }
  checkBound(served)
  await served?.close()
  const grown = growth(memories.map(({ heapUsed, external }) => heapUsed + external))
  check(grown < MAX_GROWTH, `The memory in use has grown by ${grown} bytes`)
  return { ...totals, grownBytes: grown, rss: memories.at(-1)?.rss }
}

/** Kills the peer once every kind has delivered, and `more` messages in all: inside of a delivery. */
async function killInTraffic(peer, links, more) {
  await until(
    () => links.length === KINDS.length && links.every(link => link.received > 0),
    () => `messages of all kinds: ${links.map(({ kind, received }) => `${kind} ${received}`)}`,
  )
  const received = () => links.reduce((sum, link) => sum + link.received, 0)
  const at = received() + more
  await new Promise(resolve => {
    const [stream] = links.filter(link => link.kind === 'stream')
    const check = () => {
      if (received() < at) return
      stream.channel.off('message', check)
      peer.child.kill('SIGKILL')
      resolve()
    }
    stream.channel.on('message', check)
  })
  await kill(peer)
}

/** Waits until a link has learned the death, and checks what it has counted. */
async function settle(link, served) {
  const { kind, channel } = link
  await until(() => link.ending !== undefined, `the ${kind} channel to learn the death of its peer`)
  if (hasEnd(kind)) await until(() => channel.closed, `the ${kind} channel to close`)
  else if (channel === served?.bound) served.forget(link)
  else {
    await until(() => channel.stats.queued === 0, 'the queue for a dead peer to end')
    channel.destroy()
  }
  link.stop()
  if (channel !== served?.bound) checkAccount(link)
  check(link.problems.length === 0, `${kind}: ${link.problems.slice(0, 5).join('; ')}`)
}

/** The channel's counters agree with what went in and came out, and it holds no descriptor. */
function checkAccount({ kind, channel: { stats }, accepted, received, receivedFds }) {
  const { sent, undelivered, openFds: open } = stats
  const counted = { sent, received: stats.received, receivedFds: stats.receivedFds }
  check(
    sent === accepted && stats.received >= received && stats.receivedFds >= receivedFds,
    `${kind}: ${accepted} accepted, ${received} with ${receivedFds} descriptors delivered, but ${JSON.stringify(counted)}`,
  )
  check(
    open === 0 && undelivered <= accepted,
    `${kind}: ${open} descriptors are left, ${undelivered} of ${accepted} messages undelivered`,
  )
}

/** The bound socket, which has outlived all its clients, has nothing left of them. */
function checkBound(served) {
  if (served === undefined) return
  const { queued, queuedBytes, queuedFds, openFds: open } = served.bound.stats
  check(
    queued + queuedBytes + queuedFds + open === 0,
    `The bound socket still has ${queued} messages, ${queuedFds} and ${open} descriptors`,
  )
}

function add(totals, links) {
  for (const { kind, received, receivedFds, accepted, ending } of links) {
    totals.messages += received
    totals.sent += accepted
    totals.descriptors += receivedFds
    totals.endings[kind] ??= {}
    totals.endings[kind][ending] = (totals.endings[kind][ending] ?? 0) + 1
  }
}
