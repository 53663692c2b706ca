import type { DispatchWorker } from './worker.js'

/** Chooses a worker that is not full; undefined if all are. */
export type Strategy = (workers: readonly DispatchWorker[]) => DispatchWorker | undefined

/** Returns the strategy that deals connections out in turn. */
export function roundRobin(): Strategy {
  let next = 0
  return workers => {
    for (let tried = 0; tried < workers.length; tried++) {
      if (next >= workers.length) next = 0
      const worker = workers[next++] as DispatchWorker
      if (!worker.isFull) return worker
    }
    return undefined
  }
}

/** Returns the strategy that chooses the worker with the fewest connections, in turn if equal. */
export function leastConnections(): Strategy {
  let first = 0
  return workers => {
    let best: DispatchWorker | undefined
    for (let i = 0; i < workers.length; i++) {
      const worker = workers[(first + i) % workers.length] as DispatchWorker
      if (!worker.isFull && (best === undefined || worker.connections < best.connections)) {
        best = worker
      }
    }
    first = (first + 1) % Math.max(1, workers.length)
    return best
  }
}
