import { EXIT, type Run } from '../command.js'
import { describeError } from '../errors.js'
import { kernelChecks, limitChecks, programChecks, type Verdict } from '../health.js'
import type { Style } from '../printer.js'

const STYLES: Readonly<Record<Verdict, Style>> = { ok: 'green', note: 'yellow', problem: 'red' }

/** `fdwire doctor`: shows what this system offers and what it means for fdwire. */
export const run: Run = async (_args, printer) => {
  const addon = await import('../../native/addon.js').then(
    () => undefined,
    error => describeError(error),
  )
  const checks = [...programChecks(addon), ...kernelChecks(), ...limitChecks()]
  const width = Math.max(...checks.map(({ name }) => name.length))
  for (const { name, value, verdict, meaning, remedy } of checks) {
    const advice = remedy === undefined ? '' : ` ${remedy}`
    printer.print(
      { name, value, verdict, meaning, ...(remedy !== undefined && { remedy }) },
      `${printer.style(STYLES[verdict], verdict.padEnd(7))}  ${name.padEnd(width)}  ${value}`,
      `${' '.repeat(width + 11)}${printer.style('dim', `${meaning}${advice}`)}`,
    )
  }
  return checks.some(({ verdict }) => verdict === 'problem') ? EXIT.failed : EXIT.ok
}
