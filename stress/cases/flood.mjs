/**
 * Peers that flood a server with messages, descriptors, malformed messages or connections. Meanwhile, the
 * server answers other clients, and stays within its limits.
 */
import { connect } from 'fdwire'
import { check, openFds, until, untilFds } from '../accounts.mjs'
import { inFolder, kill, start, warmUp } from '../children.mjs'

export const title = 'Floods of valid and malformed messages, descriptors and connections'
export const options = { requests: { short: 60, long: 3_000 } }

const FLOODS = ['messages', 'descriptors', 'rubbish', 'connections']
/** Processes that flood at once. */
const FLOODERS = 2
/** The longest that a request of another client may take (ms). If it starves, it takes for ever. */
const MAX_LATENCY = 10_000

/** A case is a kind of flood; an execution is a request of another client. */
export const count = figures => ({
  cases: FLOODS.length,
  executions: FLOODS.reduce((sum, kind) => sum + figures[kind].requests, 0),
})

export async function run({ requests }) {
  await warmUp()
  const figures = {}
  for (const kind of FLOODS) {
    const before = openFds()
    figures[kind] = await inFolder(folder => runFlood(kind, folder, requests))
    await untilFds(before)
  }
  return figures
}

async function runFlood(kind, folder, requests) {
  const server = start('flooded.mjs', { folder })
  const { open } = await server.next()
  const addresses = {
    stream: [`${folder}/stream`, { protocol: 'length_prefixed', encoding: 'json' }],
    seqpacket: [`${folder}/seqpacket`, { protocol: 'jsoncomm', type: 'seqpacket' }],
    dgram: [`${folder}/dgram`, { protocol: 'jsoncomm' }],
  }
  const clients = []
  for (const address of Object.values(addresses)) clients.push(await connect(...address))
  const flooders = Array.from({ length: FLOODERS }, () => start('flooder.mjs', { kind, folder }))
  await Promise.all(flooders.map(flooder => flooder.next()))
  let counts = await server.ask('counts')
  const floodedBefore = counts.flooded
  const latencies = []
  for (let i = 0; i < requests; i++) {
    for (const client of clients) {
      const started = performance.now()
      const { value } = await client.request({ i }, { timeout: MAX_LATENCY })
      check(value.i === i, `The reply to ${i} is ${JSON.stringify(value)}`)
      latencies.push(performance.now() - started)
    }
  }
  counts = await server.ask('counts')
  check(counts.flooded > floodedBefore, `The flood of ${kind} has not reached the server`)
  for (const flooder of flooders) await kill(flooder)
  for (const client of clients) client.destroy()
  let now
  await until(
    async () => {
      now = openFds(server.child.pid)
      return now === open
    },
    () => `${open} descriptors in the server; there are ${now}`,
  )
  await kill(server)
  return { ...summary(latencies), flooded: counts.flooded - floodedBefore, ...held(counts) }
}

function held({ mostFds, rss, lateness }) {
  return { mostFds, rss, timerLate: lateness }
}

/** Returns the latencies in ms. */
function summary(latencies) {
  const sorted = latencies.sort((a, b) => a - b)
  const at = part => Math.round(sorted[Math.floor((sorted.length - 1) * part)] * 100) / 100
  return { requests: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}
