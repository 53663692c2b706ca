/**
 * A server that may open no more descriptors (RLIMIT_NOFILE), with open connections, new connections, and
 * messages with descriptors. The limit is set after loading, because Node alone opens about as many
 * descriptors as the lower limit.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { connect } from 'fdwire'
import { check, openFds, until, untilFds } from '../accounts.mjs'
import { inFolder, kill, start, warmUp } from '../children.mjs'

export const title = 'RLIMIT_NOFILE of 20 and 64 in a server'
export const options = { rounds: { short: 1, long: 20 } }

const LIMITS = [20, 64]
/** Clients that connect at once, more than either limit allows. */
const CLIENTS = 100
/** Requests of a client that connected before the limit was reached. */
const REQUESTS = 100
const FDS = 4
const STREAM = { protocol: 'length_prefixed', encoding: 'json', maxFds: 8 }
const DATAGRAMS = { protocol: 'jsoncomm', maxFds: 8 }

/** A case is a limit; an execution is a request, a client or a refused call. */
export const count = ({ requests, clients, refusedCalls }) => ({
  cases: LIMITS.length,
  executions: requests + clients + refusedCalls,
})

export async function run({ rounds }) {
  await warmUp()
  const totals = { requests: 0, refusedMessages: 0, clients: 0, refusedCalls: 0 }
  for (let i = 0; i < rounds; i++) {
    for (const limit of LIMITS) {
      const before = openFds()
      await inFolder(folder => runOnce(folder, limit, totals))
      await untilFds(before)
    }
  }
  return totals
}

async function runOnce(folder, limit, totals) {
  const server = start('limited.mjs', { folder })
  await server.next()
  const old = [
    await connect(`${folder}/stream`, STREAM),
    await connect(`${folder}/dgram`, DATAGRAMS),
  ]
  for (const client of old) await client.request('hello')
  const open = openFds(server.child.pid)
  setLimit(server.child.pid, limit)
  const clients = await connectMany(folder, totals)
  await askOld(old, limit - open, totals)
  if (limit > open) await leaveOneByOne(clients, server, limit)
  else {
    await checkRefusals(server, totals)
    check(
      clients.every(({ served }) => !served),
      'A client was served without a descriptor',
    )
    setLimit(server.child.pid, CLIENTS * 4)
  }
  await until(() => clients.every(({ served }) => served), 'every client to be served')
  for (const { channel } of clients) await channel.close()
  await until(
    () => openFds(server.child.pid) === open,
    () => `${open} descriptors in the server; there are ${openFds(server.child.pid)}`,
  )
  const { warnings } = await server.ask('report')
  check(warnings > 0, 'The server has not warned that it cannot accept')
  await kill(server)
  for (const client of old) client.destroy()
}

function setLimit(pid, soft) {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${soft}:`])
}

async function connectMany(folder, totals) {
  totals.clients += CLIENTS
  return Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = { channel: await connect(`${folder}/stream`, STREAM), served: false }
      client.channel.request('new').then(() => {
        client.served = true
      })
      return client
    }),
  )
}

/** Clients that were there before are served; a message whose descriptors do not fit is refused whole. */
async function askOld(clients, room, totals) {
  const fd = openSync(import.meta.filename, 'r')
  for (let i = 0; i < REQUESTS; i++) {
    for (const client of clients) {
      const fds = i % 2 === 0 ? [] : Array(FDS).fill(fd)
      const { value } = await client.request({ i }, { fds })
      const isRefused = value.malformed === 'ERR_FDWIRE_FDS_TRUNCATED'
      check(
        value.fds === fds.length || (isRefused && fds.length > 0),
        `${fds.length} descriptors: ${JSON.stringify(value)}`,
      )
      check(!isRefused || room < CLIENTS, 'A message was refused without need')
      totals.requests++
      totals.refusedMessages += Number(isRefused)
    }
  }
  closeSync(fd)
}

/** With a few descriptors free, clients that leave make room for the others. */
async function leaveOneByOne(clients, server, limit) {
  const waiting = new Set(clients)
  while (waiting.size > 0) {
    await until(() => [...waiting].some(({ served }) => served), 'the next client to be served')
    for (const client of waiting) {
      if (!client.served) continue
      waiting.delete(client)
      client.channel.destroy()
    }
  }
  const { most } = await server.ask('report')
  check(most < limit, `${most} connections with a limit of ${limit} descriptors`)
}

/** Without a free descriptor each call fails with EMFILE, and opens nothing. */
async function checkRefusals(server, totals) {
  const open = openFds(server.child.pid)
  const { codes } = await server.ask('attempt')
  const after = openFds(server.child.pid)
  for (const [name, code] of Object.entries(codes)) {
    check(code === 'EMFILE', `${name} without a free descriptor: ${code}`)
    totals.refusedCalls++
  }
  check(after === open, `Refused calls have left ${after - open} descriptors open`)
}
