/** examples/thermostat, which uses socket_protocol. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { useExample } from '../support/examples.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

const file = useExample('thermostat')

describe('the thermostat example', () => {
  it('loses no acknowledged entry when the device is killed', async () => {
    const directory = temporaryDirectory()
    const child = spawn(process.execPath, [file('main')], {
      env: { ...process.env, TMPDIR: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [output, errors] = [text(child.stdout), text(child.stderr)]
    const [code] = await once(child, 'exit')
    expect(await errors).toBe('')
    expect((await output).split('\n')).toEqual([
      'It is 17 °C.',
      'The connection is established: true. Its name: thermostat.',
      'The target was 17 °C, now it is 21.',
      'After 4 steps it is 21 °C.',
      '99 °C is refused with status 6: from 5 to 30.',
      'A stranger is refused with status 3.',
      'The device was killed; some entries had to be sent again.',
      '200 of 200 acknowledged, 0 lost, 0 twice.',
      'It is 21 °C still, and the new connection is authenticated.',
      '',
    ])
    expect(code).toBe(0)
    expect(readdirSync(directory)).toEqual([])
  })
})
