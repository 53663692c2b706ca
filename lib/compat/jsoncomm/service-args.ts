const ID = '--service-id'
const FD = '--service-fd'

/** The options of a service's command line; everything else is `args`, in its order. */
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
    else found.set(name, value ?? needed(name, argv[++at]))
  }
  const fd = needed(FD, found.get(FD))
  if (!/^\d+$/.test(fd)) throw new TypeError(`${FD} must be a descriptor's number, not '${fd}'`)
  return { id: needed(ID, found.get(ID)), fd: Number(fd), args }
}

/** The command line that `parseServiceArgs` understands. */
export function serviceArgs(id: string, fd: number): string[] {
  return [ID, id, FD, String(fd)]
}

function needed(name: string, value: string | undefined): string {
  if (value !== undefined) return value
  throw new TypeError(`A service is started with ${ID} ID ${FD} FD, and there is no ${name}`)
}
