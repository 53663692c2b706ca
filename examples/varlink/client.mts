// Calls a method of varlink and prints its replies: node client.mts SOCKET METHOD [PARAMETERS]
import { connect } from 'fdwire'

interface Reply {
  parameters?: unknown
  continues?: boolean
  error?: string
}

const [socket = 'counter.sock', method = 'org.varlink.service.GetInfo', parameters = '{}'] =
  process.argv.slice(2)
const service = await connect<Reply, object>(socket, {
  protocol: 'lines',
  delimiter: '\0',
  encoding: 'json',
})

service.send({ method, parameters: JSON.parse(parameters), more: true })
for await (const { value } of service) {
  console.log(value.error ?? '', JSON.stringify(value.parameters))
  if (value.error !== undefined) process.exitCode = 1
  if (!value.continues) break
}
await service.close()
