import { setImmediate } from 'node:timers'
import { native } from '../native/environment.js'
import { type Entries, GONE, isOpen } from './entries.js'
import type { FdSet } from './fdset.js'

/**
 * The channel a set's descriptors came by: its index in the environment's table of channels, or
 * -1 when it has closed since, or when they came by none.
 */
export interface FdOwner {
  index: number
  /** Descriptors that nobody had taken or closed when the channel closed, less those since. */
  left: number
}

/** Counts one that was taken or closed: while the channel lives native code does. */
export function countGone(owner: FdOwner): void {
  if (owner.index < 0) owner.left--
}

/** What is to be closed when a set is collected; it must not lead back to the set. */
export interface Remains {
  entries: Entries
  owner: FdOwner
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
function closeRemains({ entries, owner }: Remains): void {
  if (!entries.some(isOpen)) return
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as number
    if (entry < GONE) lost.left++
    if (entry <= GONE) continue
    entries[i] = GONE
    native.closeFd(owner.index, entry)
    countGone(owner)
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
