// Writes entries to the journal of this mount namespace, and prints whether it took them.
import { journal } from 'fdwire/systemd'

const base = { SYSLOG_IDENTIFIER: 'fdwire-test', PRIORITY: 5 }
const taken = [
  await journal({ ...base, MESSAGE: 'one line', EMPTY: '' }),
  await journal({ ...base, MESSAGE: 'two\nlines', NUMBER: [1, 2n], BYTES: Buffer.from([10, 255]) }),
  await journal({ ...base, MESSAGE: 'large', LARGE: `${'x'.repeat(1_000_000)}\nend` }),
]
const many = Array.from({ length: 200 }, (_, i) => journal({ ...base, MESSAGE: `number ${i}` }))
taken.push(...(await Promise.all(many)))
console.log(taken.every(Boolean))
