/** Closes the descriptors of sets that are garbage collected before they are closed. */

import type { ChannelHandle } from '../native/handle.js'
import { setImmediate } from '../util/timers.js'
import { ABSENT, type Entries, isPresent } from './entries.js'
import type { FdSet } from './fdset.js'

/** The open descriptors of a set. It must not refer to the set, or the set is never collected. */
export interface OpenFds {
  entries: Entries
  handle: ChannelHandle
}

/** The most new sets that wait to be registered. They cannot be collected until then. */
const MAX_NEW = 1024

const registry = new FinalizationRegistry<OpenFds>(closeLeaked)
let newSets: FdSet[] = []
let isScheduled = false
let openFdsOf: (set: FdSet) => OpenFds | undefined

/**
 * Watches a new set: if it is garbage collected with open descriptors, they are closed.
 *
 * `openFds` returns the open descriptors of a set; undefined if it has none.
 *
 * Registering a set in a FinalizationRegistry costs 300 ns, most of it in the garbage collector;
 * creating and closing a set costs 50 ns. Most sets are closed in the turn in which they arrive. So
 * a set is registered at the end of the turn, and only if it still has open descriptors.
 */
export function watchForLeaks(set: FdSet, openFds: (set: FdSet) => OpenFds | undefined): void {
  openFdsOf = openFds
  newSets.push(set)
  if (newSets.length >= MAX_NEW) registerNewSets()
  else if (!isScheduled) {
    isScheduled = true
    setImmediate(onTurnEnd)
  }
}

function onTurnEnd(): void {
  isScheduled = false
  registerNewSets()
}

function registerNewSets(): void {
  const sets = newSets
  newSets = []
  for (const set of sets) {
    const openFds = openFdsOf(set)
    if (openFds !== undefined) registry.register(set, openFds)
  }
}

const leaked = { closed: 0, left: 0 }
let hasWarned = false

/** Closes the descriptors of a collected set, and warns once. */
function closeLeaked({ entries, handle }: OpenFds): void {
  // Closing a set does not unregister it, which would cost more than this check.
  if (!entries.some(isPresent)) return
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as number
    if (entry < ABSENT) leaked.left++
    if (entry <= ABSENT) continue
    entries[i] = ABSENT
    handle.closeFd(entry)
    leaked.closed++
  }
  if (hasWarned) return
  hasWarned = true
  // Many sets are collected at a time. The warning counts all of them.
  setImmediate(warn)
}

function warn(): void {
  process.emitWarning(
    'Descriptors that were neither taken nor closed were garbage collected with their FdSet: ' +
      `${leaked.closed} closed now, ${leaked.left} left open because their numbers were lent`,
    {
      type: 'FdwireWarning',
      code: 'FDWIRE_FDSET_COLLECTED',
      detail:
        'Close the FdSet of each message (fds.close() or `using`), or take() the descriptors that ' +
        'you keep. See docs/api/descriptors.md. This warning appears once.',
    },
  )
}
