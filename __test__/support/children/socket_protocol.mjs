// A device in its own process that serves read, write and execute requests:
// `node socket_protocol.mjs PATH SECRET`.
import {
  ProtocolServer,
  PureJsonProtocol,
  SID_EXECUTE_REQUEST,
  SID_READ_REQUEST,
  SID_WRITE_REQUEST,
} from 'fdwire/socket_protocol'

const [path, secret] = process.argv.slice(2)
const values = new Map()
await ProtocolServer.listen(path, transport => {
  const protocol = new PureJsonProtocol(transport, { secret: secret || null })
  protocol.registerCallback(SID_READ_REQUEST, null, message => [
    0,
    values.get(message.getDataId()) ?? null,
  ])
  protocol.registerCallback(SID_WRITE_REQUEST, null, message => {
    values.set(message.getDataId(), message.getData())
    return [0, null]
  })
  // Never answered, so that requests are pending when the test kills this process.
  protocol.registerCallback(SID_EXECUTE_REQUEST, 0, () => new Promise(() => {}))
  protocol.registerCallback(SID_EXECUTE_REQUEST, 1, () => [0, process.memoryUsage().rss])
  return protocol
})
console.log(JSON.stringify('ready'))
