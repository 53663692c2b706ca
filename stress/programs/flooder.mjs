/** A client that floods a server, with all sockets that it serves, until it is killed. */
import { openSync } from 'node:fs'
import { connect } from 'fdwire'

const { kind, folder } = JSON.parse(process.argv[2])
process.on('disconnect', () => process.exit())

const RECORDS = { protocol: 'jsoncomm', type: 'seqpacket' }
const fd = openSync(import.meta.filename, 'r')

/** What a connection sends: a value, and descriptors. Raw channels send bytes. */
const CONTENTS = {
  messages: ['small', []],
  descriptors: ['with descriptors', Array(8).fill(fd)],
  rubbish: [Buffer.from([0, 0, 0, 1, 0x7b]), []],
}

if (kind === 'connections') await floodConnections()
else {
  const [value, fds] = CONTENTS[kind]
  const isRaw = kind === 'rubbish'
  const stream = isRaw
    ? { protocol: 'raw' }
    : { protocol: 'length_prefixed', encoding: 'json', maxFds: 8 }
  const records = isRaw ? { protocol: 'raw', type: 'seqpacket' } : RECORDS
  const datagrams = isRaw ? { protocol: 'raw', type: 'dgram' } : { protocol: 'jsoncomm' }
  flood(await connect(`${folder}/stream`, stream), value, fds)
  flood(await connect(`${folder}/seqpacket`, records), value, fds)
  flood(await connect(`${folder}/dgram`, datagrams), value, fds)
  process.send('floods')
}

/** Sends whenever there is room. */
function flood(channel, value, fds) {
  channel.on('error', () => {})
  const burst = () => {
    for (let i = 0; i < 64; i++) if (!channel.send(value, { fds })) return
    setImmediate(burst)
  }
  channel.on('drain', burst)
  burst()
}

/** Connects and leaves at once, with many connections under way. */
async function floodConnections() {
  const one = async type => {
    for (;;) {
      const channel = await connect(`${folder}/${type}`, {
        ...(type === 'stream' ? { protocol: 'length_prefixed' } : RECORDS),
        timeout: 0,
      })
      channel.on('error', () => {})
      channel.destroy()
    }
  }
  for (let i = 0; i < 16; i++) for (const type of ['stream', 'seqpacket']) one(type)
  process.send('floods')
}
