// A statsd client of the npm package hot-shots, which npm run test:peers installs in target/peers.
//
// Arguments: the options of the client, and an array of calls [method, ...arguments]. Prints null
// once it has sent everything, or the message of an error.
import { createRequire } from 'node:module'

const require = createRequire(new URL('../../../target/peers/package.json', import.meta.url))
const StatsD = require('hot-shots')

const [options, calls] = process.argv.slice(2).map(arg => JSON.parse(arg))
const report = error => console.log(JSON.stringify(error?.message ?? null))
const client = new StatsD({ protocol: 'uds', errorHandler: report, ...options })
for (const [method, ...args] of calls) client[method](...args)
client.close(report)
