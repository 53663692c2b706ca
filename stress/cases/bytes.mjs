/**
 * Messages that arrive one byte at a time, with pauses, in every framing of streams. Meanwhile, the server
 * answers other clients.
 */
import { deepStrictEqual } from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectNet } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Codec, connect, listen } from 'fdwire'
import { check, openFds, untilFds } from '../accounts.mjs'
import { inFolder, warmUp } from '../children.mjs'

export const title = 'Messages that arrive one byte at a time'
export const options = {
  /** Milliseconds between two bytes. */
  pause: { short: 5, long: 1_000 },
  connections: { short: 10, long: 200 },
}

const TEXT = 'slow but whole: é'
const OBJECT = { status: 0, service_id: 1, data_id: 2, data: TEXT }

/** The framings, with the options and the value of each. */
const FRAMINGS = {
  content_length: [{ encoding: 'text' }, TEXT],
  length_prefixed: [{ encoding: 'text' }, TEXT],
  lines: [{ encoding: 'text' }, TEXT],
  msg_channel: [{ encoding: 'text' }, TEXT],
  netstring: [{ encoding: 'text' }, TEXT],
  socket_protocol: [{}, OBJECT],
  stockings: [{}, TEXT],
  uds_comms: [{}, TEXT],
  varint: [{ encoding: 'text' }, TEXT],
}

/** A case is a framing, an execution a message. */
export const count = ({ framings, messages }) => ({ cases: framings, executions: messages })

export async function run({ pause, connections }) {
  await warmUp()
  const before = openFds()
  const totals = { messages: 0, bytes: 0, requests: 0 }
  await inFolder(async folder => {
    const all = Object.entries(FRAMINGS)
    await Promise.all(
      all.map(([protocol, [more, value]]) => {
        const path = `${folder}/${protocol}`
        return runFraming(path, { protocol, ...more }, value, { pause, connections }, totals)
      }),
    )
  })
  await untilFds(before)
  return { framings: Object.keys(FRAMINGS).length, ...totals }
}

async function runFraming(path, options, value, { pause, connections }, totals) {
  const listener = await listen(path, options)
  listener.on('connection', channel => {
    channel.on('message', message => channel.send(message))
  })
  const { protocol, ...own } = options
  const bytes = new Codec(protocol, own).encode(value)
  let going = true
  const others = askOthers(path, options, value, () => going, totals)
  const slow = Array.from({ length: connections }, () => feed(path, options, bytes, value, pause))
  await Promise.all(slow)
  going = false
  await others
  await listener.close()
  totals.messages += connections
  totals.bytes += connections * bytes.length
}

/** Sends a message byte by byte, and compares what comes back with it. */
async function feed(path, { protocol, ...options }, bytes, value, pause) {
  const socket = connectNet(path)
  const codec = new Codec(protocol, options)
  const received = []
  socket.on('data', chunk => received.push(...codec.push(chunk)))
  await once(socket, 'connect')
  for (const byte of bytes) {
    check(received.length === 0, `${protocol}: an answer to a message that is not whole`)
    socket.write(Buffer.of(byte))
    await sleep(pause)
  }
  while (received.length === 0) await once(socket, 'data')
  deepStrictEqual(received, [value])
  socket.end()
  await once(socket, 'close')
}

/** Asks as fast as it is answered, with a rest, until the slow ones are through. */
async function askOthers(path, options, value, isGoing, totals) {
  const client = await connect(path, options)
  while (isGoing()) {
    deepStrictEqual((await client.request(value)).value, value)
    totals.requests++
    await sleep(10)
  }
  await client.close()
}
