/** A real dbus-daemon for the tests. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'

/** Starts a bus for the tests of a file. Its folder is empty otherwise. */
export function useBus(): { readonly path: string; readonly folder: string } {
  let folder = ''
  let daemon: ChildProcess
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fdwire-dbus-'))
    writeFileSync(join(folder, 'bus.conf'), busConfig(join(folder, 'bus')))
    const args = [`--config-file=${join(folder, 'bus.conf')}`, '--nofork', '--print-address']
    daemon = spawn('dbus-daemon', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const failed = once(daemon, 'error').then(([error]) => {
      throw new Error(`This test needs dbus-daemon (Debian package dbus-daemon): ${error.message}`)
    })
    await Promise.race([once(daemon.stdout as NodeJS.ReadableStream, 'data'), failed])
  })
  afterAll(async () => {
    const ended = once(daemon, 'exit')
    daemon.kill()
    await ended
    rmSync(folder, { recursive: true })
  })
  return {
    get path() {
      return join(folder, 'bus')
    },
    get folder() {
      return folder
    },
  }
}

/** The configuration of a session bus at a path that permits everything. */
export const busConfig = (path: string) => `<!DOCTYPE busconfig PUBLIC
  "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
  <limit name="max_message_unix_fds">253</limit>
</busconfig>
`
