/** examples/dispatch: a front with worker processes, which replaces those that die. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { afterEach, expect, it } from 'vitest'
import { useExample } from '../support/examples.js'
import { get } from '../support/http.js'

const file = useExample('dispatch')

let stop = () => {}
afterEach(() => stop())

it('serves requests with a worker, and with another one after it was killed', async () => {
  const front = spawn(process.execPath, [file('front'), '0', '1'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  stop = () => front.kill('SIGKILL')
  const lines = createInterface({ input: front.stdout })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  const port = Number(/^Listening on port (\d+)\.$/.exec(await line())?.[1])
  const workerOf = async (path: string) =>
    Number(/^Worker (\d+) serves (.*)$/.exec(await get(port, path))?.[1])
  const first = await workerOf('/a')
  expect(await workerOf('/b')).toBe(first)
  process.kill(first, 'SIGKILL')
  expect(await line()).toBe(`Worker ${first} has ended (SIGKILL), starting another.`)
  const second = await workerOf('/c')
  expect(second).not.toBe(first)
})
