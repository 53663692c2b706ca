// A service that sorts files that it cannot open itself: node main.mjs
//
//   main.mjs    starts the service, sends it an open file, and reads the file that it returns
//   sorter.mjs  the service, which replies to calls until its socket ends
//
// osbuild runs its mounts, devices and sources as such services, in Python.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { RemoteError, ServiceClient } from 'fdwire/jsoncomm'

const SORTER = fileURLToPath(new URL('sorter.mjs', import.meta.url))
const log = line => console.log(`main    ${line}`)

const client = await ServiceClient.start(process.execPath, [SORTER], { id: 'sorter' })
try {
  const file = await unlinked('pear\nplum\napple\n')
  log('I have a file without a name. A process can read it only if I send it the descriptor.')
  const { value, fds } = await client.callWithFds('sort', [], {
    fds: [file],
    onSignal: ({ percent }) => log(`${percent} % is done.`),
  })
  await file.close()
  log(`${value.lines} lines are sorted, in a file that the service has created:`)
  console.log(await text(fds.toReadStream(0)))

  try {
    await client.call('sort')
  } catch (error) {
    if (!(error instanceof RemoteError)) throw error
    log(`Without a file it throws ${error.name}: ${error.value}`)
  }
} finally {
  const { code } = await client.stop()
  log(`The service has exited with code ${code}.`)
}

/** Returns a descriptor of a file whose path has been removed. */
async function unlinked(content) {
  const directory = mkdtempSync(join(tmpdir(), 'sorter-'))
  try {
    writeFileSync(join(directory, 'file'), content)
    return await open(join(directory, 'file'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}
