import { setImmediate } from 'node:timers'
import type { ChannelHandle } from '../native/handle.js'
import { type Entries, GONE, isOpen } from './entries.js'
import type { FdSet } from './fdset.js'

/** What is to be closed when a set is collected; it must not lead back to the set. */
export interface Remains {
  entries: Entries
  handle: ChannelHandle
}

/** Sets that wait for the end of the turn, at most: they are kept alive until then. */
const MAX_YOUNG = 1024

/** Node's own functions, whatever a test framework's clock puts in their place. */
const soon = setImmediate

const registry = new FinalizationRegistry<Remains>(closeRemains)
let young: FdSet[] = []
let scheduled = false
let remainsOf: (set: FdSet) => Remains | undefined

/**
 * Has the descriptors of a set closed when it is collected with some in it.
 *
 * A FinalizationRegistry costs 300 ns a set, with what the collector has to do for it; making and
 * closing a set without costs 50. Most sets are closed in the turn they come in, so they are
 * registered at its end, and only those that still hold something.
 */
export function watch(set: FdSet, remains: (set: FdSet) => Remains | undefined): void {
  remainsOf = remains
  young.push(set)
  if (young.length >= MAX_YOUNG) registerYoung()
  else if (!scheduled) {
    scheduled = true
    soon(endOfTurn)
  }
}

function endOfTurn(): void {
  scheduled = false
  registerYoung()
}

function registerYoung(): void {
  const sets = young
  young = []
  for (const set of sets) {
    const remains = remainsOf(set)
    if (remains !== undefined) registry.register(set, remains)
  }
}

const lost = { closed: 0, left: 0 }
let warned = false

/** A set that was closed or emptied later has nothing left here: cheaper than to unregister it. */
function closeRemains({ entries, handle }: Remains): void {
  if (!entries.some(isOpen)) return
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as number
    if (entry < GONE) lost.left++
    if (entry <= GONE) continue
    entries[i] = GONE
    handle.closeFd(entry)
    lost.closed++
  }
  // Sets are collected in crowds: count all of this one, then speak.
  if (warned) return
  warned = true
  soon(warn)
}

function warn(): void {
  process.emitWarning(
    'Descriptors that nobody had taken or closed were collected with their FdSet: ' +
      `${lost.closed} closed now, ${lost.left} left open since their numbers had been given out`,
    {
      type: 'FdwireWarning',
      code: 'FDWIRE_FDSET_COLLECTED',
      detail:
        'Close every set that a message brings (fds.close() or `using`), or take() what you ' +
        'keep. See docs/api.md, Descriptors. This is said once.',
    },
  )
}
