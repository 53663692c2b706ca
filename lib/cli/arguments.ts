/** Options and arguments of the command line, and the help that describes them. */
import { parseArgs } from 'node:util'
import type { Command } from './command.js'
import { UsageError } from './errors.js'

/** An option of the command line. */
export interface Option {
  type: 'string' | 'boolean'
  /** The letter of its short form. */
  short?: string
  /** What its value is, in the help: `MS`. Only for strings. */
  value?: string
  /** Whether it may be given several times. */
  multiple?: boolean
  /** One sentence for the help. */
  text: string
}

/** The options and arguments that were given. */
export class Arguments {
  readonly positionals: readonly string[]
  readonly #values: Readonly<Record<string, unknown>>
  /** The options with a value, in the order in which they were given. */
  readonly ordered: readonly { name: string; value: string }[]

  constructor(command: Command, args: readonly string[]) {
    const { values, positionals, tokens } = parse(command, args)
    this.#values = values
    this.positionals = positionals
    this.ordered = tokens.flatMap(token =>
      token.kind === 'option' && token.value !== undefined
        ? [{ name: token.name, value: token.value }]
        : [],
    )
  }

  flag(name: string): boolean {
    return this.#values[name] === true
  }

  text(name: string): string | undefined {
    return this.#values[name] as string | undefined
  }

  /** Returns an integer, which is not negative unless `isSigned`; undefined if the option is absent. */
  integer(name: string, isSigned = false): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    if (/^-?\d{1,15}$/.test(text) && (isSigned || !text.startsWith('-'))) return Number(text)
    const kind = isSigned ? 'an integer' : 'a non-negative integer'
    throw new UsageError(`--${name} must be ${kind}, not '${text}'`)
  }

  /** Returns one of the permitted values; undefined if the option is absent. */
  choice<T extends string>(name: string, permitted: readonly T[]): T | undefined {
    const text = this.text(name)
    if (text === undefined || permitted.includes(text as T)) return text as T | undefined
    throw new UsageError(`--${name} must be one of ${permitted.join(', ')}, not '${text}'`)
  }
}

function parse(command: Command, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { type, short, multiple }]) => [
      name,
      { type, ...(short && { short }), ...(multiple && { multiple }) },
    ]),
  )
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, tokens: true })
    const { length } = parsed.positionals
    const required = command.arguments.filter(name => !name.startsWith('[')).length
    if (!parsed.values.help && length < required) {
      throw new UsageError(`${command.name} needs ${command.arguments[length]}`)
    }
    if (length > command.arguments.length) {
      const extra = parsed.positionals[command.arguments.length]
      throw new UsageError(`${command.name} does not take the argument '${extra}'`)
    }
    return parsed
  } catch (error) {
    if (error instanceof UsageError) throw error
    const [message = ''] = (error as Error).message.split('. To specify')
    throw new UsageError(message)
  }
}

/** Returns the line that shows how a command is called. */
export function usageOf({ name, arguments: names }: Command): string {
  return ['fdwire', name, ...names, '[options]'].join(' ')
}

/** Returns the names of an option as the help shows them: `-n, --count N`. */
export function optionTitle(name: string, { short, value }: Option): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`
  return short === undefined ? long : `-${short}, ${long}`
}

/** Returns the help of a command. */
export function helpOf(command: Command): string {
  const options = Object.entries(command.options)
  const titles = options.map(([name, option]) => optionTitle(name, option))
  const width = Math.max(...titles.map(title => title.length)) + 2
  const lines = options.map(([, { text }], index) => {
    return `  ${titles[index]?.padEnd(width)}${text}`
  })
  const example = command.example.map(line => `  ${line}`).join('\n')
  return `Usage: ${usageOf(command)}

${command.summary} ${command.details}

Options:
${lines.join('\n')}

Example:
${example}
`
}
