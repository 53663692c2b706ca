/**
 * Receives a large message and reads a memfd while no large Buffer can be allocated, then again.
 * Prints what happened.
 */
const { allocUnsafeSlow } = Buffer
let fails = false
// fdwire takes the functions that it uses when it loads.
Buffer.allocUnsafeSlow = length => {
  if (fails && length > 500_000) throw new RangeError('Array buffer allocation failed')
  return allocUnsafeSlow(length)
}
const { createMemfd, mapMemfd, pair } = await import('fdwire')

const describe = error => [error.code, error.message, error.cause?.message]
const printed = []

const [a, b] = pair({ protocol: 'length_prefixed' })
b.on('malformed', error => printed.push(describe(error)))
fails = true
a.send(Buffer.alloc(1_000_000, 'x'))
a.send('small')
printed.push((await b.receive()).value.toString())
fails = false
a.send(Buffer.alloc(1_000_000, 'x'))
printed.push((await b.receive()).value.length)
await a.close()
await b.close()

const file = createMemfd(1_000_000)
fails = true
try {
  mapMemfd(file.get(0))
} catch (error) {
  printed.push(describe(error))
}
fails = false
printed.push(mapMemfd(file.get(0)).length)
file.close()
console.log(JSON.stringify(printed))
