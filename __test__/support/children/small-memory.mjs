// A program with a small heap or stack that exchanges large messages. Runs the case named by its argument and
// prints what has arrived, or the error, as one line of JSON.
import { createHash } from 'node:crypto'
import { pair } from 'fdwire'

const LENGTHS = { protocol: 'length_prefixed' }
const MEBIBYTE = 1024 * 1024
const print = value => console.log(JSON.stringify(value))
const digest = bytes => createHash('sha256').update(bytes).digest('hex')

/** Sends values and resolves to what arrives: values, and codes of malformed messages. */
async function exchange(options, values, of) {
  const [a, b] = pair(options)
  const results = []
  const all = new Promise((resolve, reject) => {
    const add = result => {
      results.push(result)
      if (results.length === values.length) resolve()
    }
    b.on('message', value => add(of(value)))
    b.on('malformed', error => add(error.code))
    b.on('error', reject)
  })
  for (const value of values) {
    if (!a.send(value)) await a.flush()
  }
  await all
  a.destroy()
  return results
}

const cases = {
  /** Buffers of 8 MiB: outside of the heap. */
  async buffers() {
    const values = Array.from({ length: 8 }, (_, i) => Buffer.alloc(8 * MEBIBYTE, i + 1))
    return (await exchange(LENGTHS, values, digest)).every((one, i) => one === digest(values[i]))
  },

  /** Many messages that live shortly, with a small young generation. */
  async many() {
    const values = Array.from({ length: 20_000 }, (_, i) => ({ i, text: `${i}`.repeat(20) }))
    const options = { ...LENGTHS, encoding: 'json' }
    const results = await exchange(
      options,
      values,
      ({ i, text }) => text === `${i}`.repeat(20) && i,
    )
    return results.every((one, i) => one === i)
  },

  async texts() {
    const values = Array.from({ length: 6 }, (_, i) => `${i}é`.repeat(MEBIBYTE))
    const results = await exchange({ ...LENGTHS, encoding: 'text' }, values, digest)
    return results.every((one, i) => one === digest(values[i]))
  },

  /** JSON that needs far more heap than the text has bytes. */
  async objects() {
    const value = Buffer.from(`[${'{},'.repeat(4 * MEBIBYTE)}{}]`)
    const [a, b] = pair({ protocol: 'raw' })
    const { over, toDuplex } = await import('fdwire')
    const json = over(toDuplex(b), { ...LENGTHS, encoding: 'json' })
    const message = json.receive()
    const header = Buffer.alloc(4)
    header.writeUInt32BE(value.length)
    a.send(Buffer.concat([header, value]))
    return (await message).value.length
  },

  /** JSON that is nested as deeply as `maxMessage` allows, then an ordinary message. */
  async nested() {
    const [a, b] = pair({ protocol: 'raw' })
    const { over, toDuplex } = await import('fdwire')
    const json = over(toDuplex(b), { protocol: 'lines', encoding: 'json' })
    const results = []
    json.on('malformed', error => results.push(error.code))
    const message = json.receive()
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ]) {
      a.send(Buffer.from(`${open.repeat(MEBIBYTE)}1${close.repeat(MEBIBYTE)}\n`))
    }
    a.send(Buffer.from('"next"\n'))
    const { value } = await message
    // Parsed or refused: this depends on the stack.
    return typeof value === 'string' ? [...results, value] : ['parsed']
  },

  /** A value that `JSON.stringify` of older versions of Node has not enough stack for, then an ordinary one. */
  async recursive() {
    let value = 1
    for (let i = 0; i < 1_000_000; i++) value = [value]
    const [a, b] = pair({ ...LENGTHS, encoding: 'json' })
    let result = 'sent'
    try {
      a.send(value)
    } catch (error) {
      result = error.code ?? error.name
    }
    a.send('next')
    for (;;) {
      const { value } = await b.receive()
      if (value === 'next') return [result, value]
    }
  },
}

print(await cases[process.argv[2]]())
process.exit()
