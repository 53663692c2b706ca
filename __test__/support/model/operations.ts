/** Random operations on the two ends of a connection. */
import fc from 'fast-check'
import { loopTurns } from '../channels.js'
import type { End } from './end.js'

/** The number of files that a message may carry. */
export const FILES = 4

type Call =
  | 'receive'
  | 'abort'
  | 'listen'
  | 'unlisten'
  | 'pause'
  | 'resume'
  | 'flush'
  | 'release'
  | 'handOver'
  | 'end'
  | 'close'
  | 'destroy'

/** One operation. `on` is the index of the end. */
export type Operation =
  | { do: 'send'; on: number; size: number; files: readonly number[] }
  | { do: 'sendAll'; on: number; sizes: number[] }
  | { do: 'request'; on: number; size: number }
  | { do: 'iterate'; on: number; count: number }
  | { do: 'hold'; on: number; holds: boolean }
  | { do: 'wait'; turns: number }
  | { do: Call; on: number }

const on = fc.nat(1)

const constant = <T extends string>(...names: T[]) => fc.constantFrom(...names)

/** Returns operations on ends whose messages have at most `maxSize` bytes, with descriptors or not. */
export function operations(maxSize: number, withFds: boolean): fc.Arbitrary<Operation[]> {
  const size = fc.oneof(
    { weight: 6, arbitrary: fc.nat(40) },
    { weight: 2, arbitrary: fc.nat(Math.min(maxSize, 5_000)) },
    { weight: 1, arbitrary: fc.nat(maxSize) },
  )
  const files: fc.Arbitrary<readonly number[]> = withFds
    ? fc.oneof(fc.constant([]), fc.array(fc.nat(FILES - 1), { maxLength: 6 }))
    : fc.constant([])
  const sizes = fc.array(size, { maxLength: 12 })
  const call = (...names: Call[]) => fc.record({ do: constant(...names), on })
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    { weight: 30, arbitrary: fc.record({ do: constant('send'), on, size, files }) },
    { weight: 10, arbitrary: fc.record({ do: constant('sendAll'), on, sizes }) },
    { weight: 4, arbitrary: fc.record({ do: constant('request'), on, size }) },
    { weight: 3, arbitrary: fc.record({ do: constant('iterate'), on, count: fc.nat(9) }) },
    { weight: 3, arbitrary: fc.record({ do: constant('hold'), on, holds: fc.boolean() }) },
    {
      weight: 20,
      arbitrary: fc.record({ do: constant('wait'), turns: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 24, arbitrary: call('receive', 'abort', 'listen', 'unlisten', 'pause', 'resume') },
    { weight: 10, arbitrary: call('flush', 'release', 'handOver') },
    { weight: 1, arbitrary: call('end', 'close', 'destroy') },
  )
  return fc.array(operation, { maxLength: 120, size: 'max' })
}

/** Performs an operation. */
export async function perform(operation: Operation, ends: readonly End[]): Promise<void> {
  if (operation.do === 'wait') {
    await loopTurns(operation.turns)
    return
  }
  const end = ends[operation.on] as End
  switch (operation.do) {
    case 'send':
      end.send(operation.size, operation.files)
      break
    case 'sendAll':
      end.sendAll(operation.sizes)
      break
    case 'request':
      end.request(operation.size)
      break
    case 'iterate':
      end.iterate(operation.count + 1)
      break
    case 'hold':
      end.holds = operation.holds
      break
    default:
      end[operation.do]()
  }
}
