import type { Arguments, Option } from './arguments.js'
import type { Printer } from './printer.js'

/** A command of `fdwire`: what the help and docs/cli.md say, and how to run it. */
export interface Command {
  name: string
  /** The positional arguments; optional ones in brackets. */
  arguments: readonly string[]
  /** One sentence that says what the command does. */
  summary: string
  /** The sentences after it. */
  details: string
  options: Readonly<Record<string, Option>>
  /** Shell commands that show the use of the command. They work as they are. */
  example: readonly string[]
  /** What they print. A test repeats it; process ids, times, names and figures differ. */
  output: readonly string[]
  /** Loads the implementation, which loads the native addon. */
  load(): Promise<{ run: Run }>
}

/** Runs a command. Resolves with the exit code. */
export type Run = (args: Arguments, printer: Printer) => Promise<number>

/** The exit codes. docs/cli.md lists them. */
export const EXIT = {
  ok: 0,
  /** The operation failed. */
  failed: 1,
  /** The arguments are wrong. */
  usage: 2,
  /** Nothing arrived within `--timeout`. */
  timeout: 3,
  /** SIGINT; with SIGTERM it is 143. */
  interrupted: 130,
} as const
