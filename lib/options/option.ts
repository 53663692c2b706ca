/** How options are declared. Most modules of this folder declare one group of options each. */

import { checkBoolean, checkInteger } from '../util/checks.js'
import type { Protocol, SocketType } from './protocols.js'

/** The functions that make a channel, a listener or a codec. */
export const OPENERS = ['bind', 'connect', 'listen', 'pair', 'adopt', 'over', 'Codec'] as const

/** A function that makes a channel, a listener or a codec. */
export type Opener = (typeof OPENERS)[number]

/**
 * The address family of a socket. `'fd'` is a socket that the caller passes in, whose family is not
 * known yet.
 */
export type Target = 'unix' | 'tcp' | 'fd'

/**
 * The call whose options are checked. It decides which options exist and what their defaults are.
 */
export interface OptionContext {
  opener: Opener
  protocol: Protocol
  type: SocketType
  target: Target
}

/** One option: where it exists, its default, and the check of its value. */
export interface OptionSpec {
  /** The functions that have it. */
  readonly of: readonly Opener[]
  /** The socket types that have it (all). */
  readonly types?: readonly SocketType[]
  /** The targets that have it (all). */
  readonly on?: readonly Target[]
  /** The protocols that have it (all). */
  readonly protocols?: readonly Protocol[]
  /** Explains why a call does not have it, for a condition that the fields above cannot express. */
  readonly unless?: (context: OptionContext) => string | undefined
  /** The value if the option is absent, or a function that computes it (undefined). */
  readonly default?: unknown
  /** Checks and converts the value that the caller passes. Throws a TypeError or RangeError. */
  readonly check: (name: string, value: unknown, context: OptionContext) => unknown
}

/** The type of an option that only the protocols `Owner` have: undefined for any other protocol. */
export type OnlyOf<Owner extends Protocol, P extends Protocol, T> = P extends Owner
  ? T | undefined
  : undefined

/** A table that declares exactly the options of the interface `Options`. */
export type OptionTable<Options> = { readonly [Name in keyof Options]-?: OptionSpec }

/** The value of an option after its check. */
export type CheckedValue<Spec extends OptionSpec> = ReturnType<Spec['check']> | DefaultOf<Spec>

type DefaultOf<Spec> = Spec extends { readonly default: infer Default }
  ? Default extends (context: OptionContext) => infer Value
    ? Value
    : Default
  : undefined

// Values of `of`, `types` and `on`.
export const ALL = OPENERS
export const CHANNELS = ['bind', 'connect', 'listen', 'pair', 'adopt', 'over'] as const
export const SOCKETS = ['bind', 'connect', 'listen', 'pair', 'adopt'] as const
export const NAMED = ['bind', 'connect', 'listen'] as const
export const CONNECTIONS = ['stream', 'seqpacket'] as const
export const DGRAM = ['dgram'] as const
export const STREAM = ['stream'] as const

/** Checks an option that is a boolean. */
export const boolean = (name: string, value: unknown): boolean => checkBoolean(name, value)

/** Returns a check for an option that is an integer from `least` to `most`. */
export function integer(least: number, most?: number): (name: string, value: unknown) => number {
  return (name, value) => checkInteger(name, value, 0, least, most)
}
