// A service that sorts files it could not open itself. `node examples/sorter/main.mjs`
//
//   main.mjs    starts the service, gives it an open file, and reads the one that comes back
//   sorter.mjs  the service: it answers calls as long as its end of the socket is open
//
// osbuild runs its mounts, devices and sources like this, in Python.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { RemoteError, ServiceClient } from 'fdwire/jsoncomm'

const SORTER = fileURLToPath(new URL('sorter.mjs', import.meta.url))
const say = line => console.log(`main    ${line}`)

const client = await ServiceClient.start(process.execPath, [SORTER], { id: 'sorter' })
try {
  const file = await nameless('pear\nplum\napple\n')
  say('I have a file that has no name any more. Only who gets it from me can read it.')
  const { value, fds } = await client.callWithFds('sort', [], {
    fds: [file],
    onSignal: ({ percent }) => say(`${percent} % is done.`),
  })
  await file.close()
  say(`${value.lines} lines are sorted, in a file that the service has made:`)
  console.log(await text(fds.toReadStream(0)))

  try {
    await client.call('sort')
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error
    say(`Without a file it says ${error.name}: ${error.value}`)
  }
} finally {
  const { code } = await client.stop()
  say(`The service has ended with ${code}.`)
}

/** A file that is removed as soon as it is open. */
async function nameless(content) {
  const directory = mkdtempSync(join(tmpdir(), 'sorter-'))
  try {
    writeFileSync(join(directory, 'file'), content)
    return await open(join(directory, 'file'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}
