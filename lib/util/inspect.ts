import { type InspectOptionsStylized, inspect } from 'node:util'

/** Returns what console.log shows of an object: the name of its class, and its fields. */
export function inspectFields(
  name: string,
  fields: Readonly<Record<string, unknown>>,
  depth: number,
  options: InspectOptionsStylized,
): string {
  if (depth < 0) return options.stylize(`[${name}]`, 'special')
  const known = Object.entries(fields).filter(([, value]) => value !== undefined)
  return `${name} ${inspect(Object.fromEntries(known), options)}`
}
