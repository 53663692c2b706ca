import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

const CHILD = testPath('support/children/moved-memory.mjs')

/** The ways of the child. Node 20 has no `ArrayBuffer.prototype.transfer`. */
const WAYS = ['postMessage', 'copy', 'structuredClone', 'transfer'].filter(
  way => way !== 'transfer' || 'transfer' in ArrayBuffer.prototype,
)

/** Buffers whose memory nobody else uses: it can be moved. */
const ALONE = [
  'message of 64 KiB',
  'message of 1 MiB',
  'seqpacket record',
  'copied memfd',
  'small memfd',
  'message of a Codec',
  'frame of a Codec',
  'bytes for a stream',
]

/** Buffers that share memory with others, or map a file: Node may refuse to move it. */
const SHARED = ['small message', 'message of 20 KiB', 'raw bytes', 'mapped memfd']
const REFUSED = ['DataCloneError', 'TypeError']

type Result = [source: string, way: string, result: string]

async function moveFrom(thread: 'worker' | 'main'): Promise<Result[]> {
  const run = promisify(execFile)(process.execPath, ['--expose-gc', CHILD, thread])
  return JSON.parse((await run).stdout)
}

describe.each(['worker', 'main'] as const)('memory that the %s thread has moved', thread => {
  it('keeps its bytes after the worker has ended', async () => {
    const results = await moveFrom(thread)
    const others = results.filter(([, , result]) => result !== 'kept')
    expect(results.length).toBe((ALONE.length + SHARED.length) * WAYS.length)
    for (const [source, way, result] of others) {
      expect(SHARED, `${source}, ${way}: ${result}`).toContain(source)
      expect(way).not.toBe('copy')
      expect(REFUSED).toContain(result)
    }
  })
})
