import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
// The addon keeps one descriptor from when it is first loaded in the process.
import 'fdwire'
import { describe, expect, it } from 'vitest'
import { settledFdTargets } from '../support/descriptors.js'
import { testPath } from '../support/processes.js'

const CHILD = testPath('support/children/callback-ends.mjs')
const KINDS: string[] = JSON.parse(execFileSync(process.execPath, [CHILD, 'list']).toString())

/** Callbacks whose exceptions belong to a message or a client: the process goes on. */
const ABSORBED = ['allowPeer', 'serve handler', 'onError', 'serve of a listener', 'decode', 'match']
/** Callbacks that `send` calls: it throws an error with that of the callback as its cause. */
const WRAPPED = ['encode', 'toJSON']

/** What Node does with an exception that nobody handles. */
const UNCAUGHT = 1
const EXITED = 7
const SURVIVED = 42

type End = { code: number | string; stderr: string }
type Ended = { code: number; message: string }

async function run(kind: string, way: string): Promise<End> {
  const child = promisify(execFile)(process.execPath, [CHILD, kind, way])
  return child.then(
    ({ stderr }) => ({ code: 0, stderr }),
    ({ code, signal, stderr }) => ({ code: signal ?? code, stderr }),
  )
}

async function runInWorker(kind: string, way: string): Promise<Ended> {
  const worker = new Worker(CHILD, { workerData: [kind, way], stdout: true, stderr: true })
  let message = ''
  worker.on('error', error => {
    message = error.message
  })
  // once() would reject with the error.
  const code = await new Promise<number>(resolve => worker.on('exit', resolve))
  return { code, message }
}

describe.each(KINDS)('a callback of the kind "%s"', kind => {
  const isAbsorbed = ABSORBED.includes(kind)

  it('can end the process, with messages and descriptors under way', async () => {
    expect(await run(kind, 'exit')).toEqual({ code: EXITED, stderr: '' })
  })

  it(`${isAbsorbed ? 'does not end' : 'ends'} the process by an exception`, async () => {
    const { code, stderr } = await run(kind, 'throw')
    expect(code, stderr).toBe(isAbsorbed ? SURVIVED : UNCAUGHT)
    if (isAbsorbed) expect(stderr).toBe('')
    else expect(stderr).toContain(`thrown in ${kind}`)
  })

  it('ends its worker thread alone, which leaves no descriptor open', async () => {
    const before = await settledFdTargets()
    const ways = ['exit', 'throw'].map(way => runInWorker(kind, way))
    const [exited, thrown] = (await Promise.all(ways)) as [Ended, Ended]
    expect(exited).toEqual({ code: EXITED, message: '' })
    expect(thrown.code).toBe(isAbsorbed ? SURVIVED : UNCAUGHT)
    if (!isAbsorbed && !WRAPPED.includes(kind)) expect(thrown.message).toBe(`thrown in ${kind}`)
    await expect.poll(settledFdTargets).toEqual(before)
  })
})
