#!/usr/bin/env node
/** The program `fdwire`. */
import { VERSION } from '../native/version.js'
import { Arguments, helpOf } from './arguments.js'
import { EXIT } from './command.js'
import { COMMANDS } from './commands.js'
import { describeError, UsageError } from './errors.js'
import { Printer } from './printer.js'

// Exiting closes and removes all sockets.
process.once('SIGINT', () => exit(EXIT.interrupted))
process.once('SIGTERM', () => exit(143))
// As with every filter, the reader of the output may end first: `fdwire ls | head`.
process.stdout.on('error', error => process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1))

// A failed command may leave channels open, which would keep the process alive.
exit(await main(process.argv.slice(2)))

/** Ends the process when all output is written. Node drops what a full pipe has not taken yet. */
function exit(code: number): void {
  process.stdout.write('', () => process.exit(code))
}

async function main([name = '--help', ...rest]: string[]): Promise<number> {
  if (name === '--version' || name === '-v') return print(`${VERSION}\n`)
  if (name === '--help' || name === '-h' || name === 'help') return print(overview())
  const command = COMMANDS.find(one => one.name === name)
  if (command === undefined) {
    return fail('', EXIT.usage, `unknown command '${name}': fdwire --help lists the commands`)
  }
  try {
    const args = new Arguments(command, rest)
    if (args.flag('help')) return print(helpOf(command))
    const { run } = await command.load()
    return await run(args, new Printer(args.flag('json')))
  } catch (error) {
    if (!(error instanceof UsageError)) return fail(name, exitCodeOf(error), describeError(error))
    return fail(name, EXIT.usage, `${error.message}: see fdwire ${name} --help`)
  }
}

/** fdwire itself rejects wrong options with a TypeError or RangeError. */
function exitCodeOf(error: unknown): number {
  const { code } = error as { code?: string }
  if (code === 'ERR_FDWIRE_TIMEOUT') return EXIT.timeout
  const isUsage = code === undefined && (error instanceof TypeError || error instanceof RangeError)
  return isUsage ? EXIT.usage : EXIT.failed
}

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length)) + 2
  const rows = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`)
  return `Usage: fdwire <command> [arguments]

Sends, receives and shows messages and file descriptors of Unix sockets.

Commands:
${rows.join('\n')}

ADDR is a path, @NAME for an abstract name, tcp:HOST:PORT, or, for listen, fd:N.
fdwire <command> --help describes a command.
`
}

function print(text: string): number {
  process.stdout.write(text)
  return EXIT.ok
}

function fail(name: string, code: number, message: string): number {
  process.stderr.write(`fdwire: ${name === '' ? '' : `${name}: `}${message}\n`)
  return code
}
