/**
 * A process whose file system is full: a tmpfs in a mount namespace of its own. Reports the result of each
 * attempt: an error's code, or what it returned.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { finished } from 'node:stream/promises'
import { bind, connect, createMemfd, listen, pair } from 'fdwire'
import { openFds } from '../accounts.mjs'

const { folder } = JSON.parse(process.argv[2])
process.on('disconnect', () => process.exit())

const STREAM = { protocol: 'length_prefixed', encoding: 'json', maxFds: 8 }
const RECORDS = { protocol: 'jsoncomm', type: 'seqpacket' }
/** The size of the tmpfs and its number of files, and the largest file that this process may write. */
const SIZE = '64k'
const INODES = 12
const FILE_SIZE = 1 << 20

execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE},nr_inodes=${INODES}`, 'tmpfs', folder])
const server = await listen(`${folder}/server`, STREAM)
server.serve(value => value)
const client = await connect(`${folder}/server`, STREAM)
await client.request(0)
leaveStale()
const data = openSync(`${folder}/data`, 'w+')
fill()

const results = {}
const before = openFds()
await attempt('listen', () => listen(`${folder}/new`, STREAM))
await attempt('bind', () => bind(`${folder}/new`, { protocol: 'jsoncomm' }))
await attempt('localAddress', () =>
  connect(`${folder}/server`, { ...STREAM, localAddress: `${folder}/new` }),
)
await attempt('datagram localAddress', () =>
  connect(`${folder}/server`, { protocol: 'raw', localAddress: `${folder}/new` }),
)
await attempt('stale path', async () => {
  const bound = await bind(`${folder}/stale`, { protocol: 'jsoncomm' })
  await bound.close()
  return 'replaced'
})
await attempt('stream to a received file', writeReceived)
execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${FILE_SIZE}`])
await attempt('createMemfd', () => createMemfd(Buffer.alloc(2 * FILE_SIZE)))
await attempt('message in a memfd', sendLarge)
await attempt('requests', askMany)
results.leaked = openFds() - before
rmSync(`${folder}/filler`)
await attempt('listen with room', async () => {
  const another = await listen(`${folder}/new`, STREAM)
  await another.close()
  return 'listened'
})
process.send(results)

async function attempt(name, work) {
  try {
    results[name] = await work()
  } catch (error) {
    results[name] = error.code
  }
}

/** Leaves the path of a killed process: no process has its socket, and none removes the path. */
function leaveStale() {
  const bound = `await bind('${folder}/stale', { protocol: 'jsoncomm' })`
  const code = `import { bind } from 'fdwire'; ${bound}; process.kill(process.pid, 'SIGKILL')`
  spawnSync(process.execPath, ['--input-type=module', '--eval', code], { cwd: import.meta.dirname })
}

/** Uses up all bytes and all files. */
function fill() {
  const filler = openSync(`${folder}/filler`, 'w')
  untilFull(() => writeSync(filler, Buffer.alloc(4_096)))
  untilFull(i => writeFileSync(`${folder}/empty-${i}`, ''))
  closeSync(filler)
}

function untilFull(work) {
  for (let i = 0; ; i++) {
    try {
      work(i)
    } catch (error) {
      if (error.code === 'ENOSPC') return
      throw error
    }
  }
}

/** Writes to a file of the full file system that came in a message. */
async function writeReceived() {
  const [ours, theirs] = pair(RECORDS)
  ours.send('a file', { fds: [data] })
  const { fds } = await theirs.receive()
  const stream = fds.toWriteStream(0)
  stream.end(Buffer.alloc(8_192))
  const error = await finished(stream).catch(error => error)
  await Promise.all([ours.close(), theirs.close()])
  return error.code
}

/** Sends a message that is too large for a record and for a file. The channel goes on. */
async function sendLarge() {
  const [ours, theirs] = pair(RECORDS)
  const refused = []
  try {
    ours.send('x'.repeat(2 * FILE_SIZE))
  } catch (error) {
    refused.push(error.code)
  }
  ours.send('small')
  const { value } = await theirs.receive()
  await Promise.all([ours.close(), theirs.close()])
  return [...refused, value].join(', then ')
}

/** The server that was there before goes on. */
async function askMany() {
  let replies = 0
  for (let i = 0; i < 100; i++) replies += Number((await client.request(i)).value === i)
  return replies
}
