/**
 * The soak: a server runs for a long time at a fixed rate, and its memory and descriptors must not grow.
 *
 *     npm run soak -- [--minutes 30] [--record]
 *
 * Two processes exchange messages with it over every kind of socket; a third of the messages have
 * descriptors. The processes close and reopen connections, and one of them is killed every ten seconds.
 * Every ten seconds, the server samples its memory and descriptors. With --record the samples are written
 * to `results/soak.json`.
 */
import { closeSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseCommandLine } from '../scripts/command-line.mjs'
import { check, growth, memory, openFds, until, untilFds } from './accounts.mjs'
import { inFolder, kill, startPeer, warmUp } from './children.mjs'
import { KINDS, pairForChild } from './kinds.mjs'
import { connectLinks, serveLinks } from './links.mjs'
import { record } from './results.mjs'

/** What a link sends: `count` messages every `period` ms, on each of ten links in both directions. */
const RATE = { count: 1, period: 25 }
/** Milliseconds after which a process opens its next connection anew, and between two samples. */
const RENEW = 700
const SAMPLE = 10_000
const PEERS = 2

/**
 * How much more may be in use in the last third than in the second, in bytes and descriptors. The
 * number of descriptors at one moment depends on which connections are being opened; at the end it is exact.
 */
const MAX_GROWTH = { heap: 2 * 1024 * 1024, rss: 8 * 1024 * 1024, fds: 4 }

const PEER = new URL('./programs/peer.mjs', import.meta.url)

const flags = parseCommandLine(import.meta.url, {
  minutes: { type: 'number', default: 30 },
  record: { type: 'boolean' },
})

/** Counts what all links have done, including those that have ended. */
class Totals {
  #links = new Set()
  #past = { messages: 0, sent: 0, descriptors: 0 }
  connections = 0
  kills = 0
  problems = []

  add(link) {
    this.connections++
    this.#links.add(link)
  }

  /** Removes the links that have ended; returns them. */
  removeEnded() {
    const ended = [...this.#links].filter(link => link.ending !== undefined)
    for (const link of ended) {
      this.#links.delete(link)
      this.#past = sum(this.#past, link)
      this.problems.push(...link.problems.map(text => `${link.kind}: ${text}`))
    }
    return ended
  }

  isEmpty() {
    return this.#links.size === 0
  }

  counts() {
    const { connections, kills } = this
    return { connections, kills, ...[...this.#links].reduce(sum, this.#past) }
  }
}

const sum = ({ messages, sent, descriptors }, { received, accepted, receivedFds }) => ({
  messages: messages + received,
  sent: sent + accepted,
  descriptors: descriptors + receivedFds,
})

const samples = await inFolder(folder => run(folder, flags.minutes * 60_000))
for (const sample of samples) console.log(JSON.stringify(sample))
const figures = summarize(samples)
console.log(figures)
if (flags.record) {
  record('soak', {
    title: 'Soak: a server at work, with reconnecting and killed clients',
    command: `npm run soak -- --minutes ${flags.minutes}`,
    seconds: samples.at(-1).second,
    cases: KINDS.length,
    executions: figures.messages + figures.sent,
    kills: figures.kills,
    figures,
    samples,
  })
}
process.exit()

async function run(folder, duration) {
  const totals = new Totals()
  const inode = statSync(PEER).ino
  const begin = link => totals.add(link.startAt(RATE.count, RATE.period))
  await warmUp()
  const before = openFds()
  const server = await serveLinks(folder, begin, { fd: () => server.bound.fd, inode })
  const startOne = () => startClient(folder, server.addresses, totals, inode, server.bound.fd)
  const peers = []
  for (let i = 0; i < PEERS; i++) peers.push(await startOne())

  const samples = []
  const started = performance.now()
  for (let i = 1; performance.now() - started < duration; i++) {
    await sleep(Math.max(0, started + i * SAMPLE - performance.now()))
    await kill(peers.shift())
    totals.kills++
    // Without one of its clients: each sample counts the links of the others only.
    await until(() => forgetEnded(totals, server), 'the queues of dead clients')
    const second = Math.round((performance.now() - started) / 1000)
    samples.push({ second, ...held(), ...totals.counts() })
    check(totals.problems.length === 0, totals.problems.slice(0, 5).join('; '))
    peers.push(await startOne())
  }
  for (const peer of peers) await kill(peer)
  await until(() => forgetEnded(totals, server) && totals.isEmpty(), 'the end of all connections')
  await server.close()
  await untilFds(before)
  return samples
}

async function startClient(folder, addresses, totals, inode, fd) {
  const [ours, pairFd] = pairForChild()
  const settings = { role: 'client', folder, addresses, rate: RATE, renew: RENEW }
  const peer = startPeer(settings, pairFd)
  closeSync(pairFd)
  await peer.next()
  for (const link of await connectLinks({}, { pair: ours, fd, inode })) {
    totals.add(link.startAt(RATE.count, RATE.period))
  }
  return peer
}

/** Forgets the links that have ended. Returns whether nothing is queued for them. */
function forgetEnded(totals, server) {
  for (const link of totals.removeEnded()) {
    if (link.kind === 'pair') link.channel.destroy()
    if (link.kind === 'dgram') server.forget(link)
  }
  return server.bound.stats.queued === 0
}

function held() {
  return { ...memory(), fds: openFds() }
}

/** Returns the figures of a series, after checking that nothing grows. */
function summarize(samples) {
  const series = of => samples.map(of)
  const grown = {
    heap: growth(series(({ heapUsed, external }) => heapUsed + external)),
    rss: growth(series(({ rss }) => rss)),
    fds: growth(series(({ fds }) => fds)),
  }
  for (const [name, most] of Object.entries(MAX_GROWTH)) {
    check(grown[name] <= most, `${name} has grown by ${grown[name]}, of which ${most} are allowed`)
  }
  const { messages, sent, descriptors, connections, kills } = samples.at(-1)
  const counts = { messages, sent, descriptors, connections, kills }
  return { ...counts, grown }
}
