const ID = '--service-id'
const FD = '--service-fd'

/**
 * Parses the command line of a service. `args` of the result are all other arguments, in order.
 *
 * # Errors
 * TypeError for a missing option, and for a descriptor that is not a number.
 */
export function parseServiceArgs(argv: readonly string[]): {
  id: string
  fd: number
  args: string[]
} {
  const found = new Map<string, string>()
  const args: string[] = []
  for (let at = 0; at < argv.length; at++) {
    const arg = argv[at] as string
    const [, name, value] = /^(--service-id|--service-fd)(?:=(.*))?$/s.exec(arg) ?? []
    if (name === undefined) args.push(arg)
    else found.set(name, value ?? required(name, argv[++at]))
  }
  const fd = required(FD, found.get(FD))
  if (!/^\d+$/.test(fd)) throw new TypeError(`${FD} must be a descriptor's number, not '${fd}'`)
  return { id: required(ID, found.get(ID)), fd: Number(fd), args }
}

/** Returns the arguments that `parseServiceArgs` parses. */
export function serviceArgs(id: string, fd: number): string[] {
  return [ID, id, FD, String(fd)]
}

function required(name: string, value: string | undefined): string {
  if (value !== undefined) return value
  throw new TypeError(`${name} is missing: start a service with ${ID} ID ${FD} FD`)
}
