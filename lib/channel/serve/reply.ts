import type { FdSource } from '../../fds/borrow.js'
import { FdSet } from '../../fds/fdset.js'
import { checkIsObject, checkNames, describeValue, only } from '../../util/checks.js'
import { NO_OPTIONS } from '../../util/no-options.js'

/** Options of a {@link Reply}. */
export interface ReplyOptions {
  /**
   * The descriptors of the reply. `serve` owns them: it closes numbers, FileHandles and sets, even if
   * the reply cannot be sent.
   */
  fds?: FdSet | Iterable<FdSource> | undefined
}

const hasOption = only(['fds'])

/** What a handler of `serve` returns to reply with descriptors. */
export class Reply<V = unknown> {
  /** The value of the reply. */
  readonly value: V
  /** The descriptors of the reply. */
  readonly fds: FdSet | readonly FdSource[]

  /**
   * Makes a reply.
   *
   * # Errors
   * TypeError for options that are not an object, for an unknown one, and for `fds` that are neither
   * a set nor iterable.
   */
  constructor(value: V, options: ReplyOptions = NO_OPTIONS) {
    checkIsObject('Reply', options)
    checkNames('Reply', options, hasOption)
    this.value = value
    this.fds = collect(options.fds)
  }
}

/** Reads an iterable once: the descriptors are sent and then closed. */
function collect(fds: ReplyOptions['fds']): Reply['fds'] {
  if (fds === undefined) return []
  if (fds instanceof FdSet) return fds
  if (typeof fds !== 'object' || fds === null || !(Symbol.iterator in fds)) {
    throw new TypeError(
      `fds of a Reply must be an FdSet or an array of descriptors, not ${describeValue(fds)}`,
    )
  }
  return [...fds]
}
