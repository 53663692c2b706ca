// @ts-check
// Reads the command lines of the programs of this repository.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

/**
 * An option. A `number` and an `integer` are positive. `choices` are the only values that it takes.
 * @typedef {object} Option
 * @property {'boolean' | 'string' | 'number' | 'integer'} type
 * @property {unknown} [default]
 * @property {boolean} [multiple]
 * @property {readonly string[]} [choices]
 */

/**
 * Parses the command line of the program whose `import.meta.url` is `program`. Returns the values of its options,
 * and as `names` its other arguments, which are among `choices` (default: it has none).
 *
 * `--help` prints the comment at the start of the program and ends the process. A wrong argument prints what is
 * wrong and that comment, and ends it with 2.
 * @param {string} program
 * @param {{ [name: string]: Option }} options
 * @param {readonly string[]} [choices]
 * @returns {any}
 */
export function parseCommandLine(program, options, choices) {
  const strings = Object.entries(options).map(([name, { type, multiple = false }]) => {
    return [name, { type: type === 'boolean' ? type : 'string', multiple }]
  })
  try {
    /** @type {{ values: { [name: string]: any }, positionals: string[] }} */
    const { values, positionals } = parseArgs({
      options: { ...Object.fromEntries(strings), help: { type: 'boolean' } },
      allowPositionals: choices !== undefined,
    })
    if (values.help) {
      console.log(usageOf(program))
      process.exit()
    }
    for (const name of positionals) checkChoice('An argument', name, choices)
    const checked = Object.entries(options).map(([name, option]) => {
      const value = values[name]
      return [name, value === undefined ? option.default : check(`--${name}`, value, option)]
    })
    return { ...Object.fromEntries(checked), names: positionals }
  } catch (error) {
    // Node's advice about arguments that look like options takes two lines.
    const [problem = ''] = String(/** @type {Error} */ (error).message).split('. To specify')
    endWithUsage(program, problem)
  }
}

/**
 * Prints what is wrong with an argument and how to use the program. Ends the process with 2.
 * @param {string} program
 * @param {string} problem
 * @returns {never}
 */
export function endWithUsage(program, problem) {
  console.error(`${problem}\n\n${usageOf(program)}`)
  process.exit(2)
}

/** @param {string} name @param {any} value @param {Option} option @returns {any} */
function check(name, value, option) {
  const { type, choices } = option
  if (Array.isArray(value)) return value.map(one => check(name, one, option))
  if (choices !== undefined) checkChoice(name, value, choices)
  if (type === 'boolean' || type === 'string') return value
  const number = Number(value)
  if (number > 0 && Number.isFinite(number) && (type === 'number' || Number.isInteger(number))) {
    return number
  }
  throw new Error(`${name} must be a positive ${type}, not '${value}'`)
}

/** @param {string} what @param {string} value @param {readonly string[]} [choices] */
function checkChoice(what, value, choices = []) {
  if (choices.includes(value)) return
  throw new Error(`${what} must be one of ${choices.join(', ')}, not '${value}'`)
}

/** Returns the comment at the start of a program. @param {string} program */
function usageOf(program) {
  const text = readFileSync(new URL(program), 'utf8').replace(/^\/\/ @ts-check\n/, '')
  const [comment = ''] = /^(?:\/\/.*\n)+|^\/\*\*[\s\S]*?\*\//.exec(text) ?? []
  return comment.replace(/^(?:\/\/ ?|\/\*\* ?| ?\*\/| ?\* ?)/gm, '').trim()
}
