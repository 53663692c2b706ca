// The child. It connects and replies to requests until QUIT or the end of the connection.
import { QUIT, UdsClient } from 'fdwire/uds_comms'
import { toJson } from './json.mjs'

const [, , path, attempt] = process.argv
const log = line => console.log(`child   ${line}`)

const USERS = { bob: 'u-1', zoë: 'u-2' }

/** The methods that a request can call. */
const api = {
  resolve_user_id: name => USERS[name] ?? null,
  resolve_user_name: id => Object.keys(USERS).find(name => USERS[name] === id) ?? null,
  /** Fails in the first two children. */
  wait_until_up() {
    if (Number(attempt) > 2) return 'up'
    throw Object.assign(new Error('The service is not up yet (503)'), { retry: true })
  },
}

const client = await UdsClient.connect(path)
let text = await client.receive()
while (text !== null && text !== QUIT) {
  await client.send(toJson(reply(text)))
  text = await client.receive()
}
await client.close()
log(text === QUIT ? 'I have received QUIT.' : 'The parent has closed the connection.')

function reply(text) {
  try {
    const { path, args } = JSON.parse(text)
    // A path is a list of property names. Inherited properties, such as `constructor`, cannot be
    // called.
    const method = path.reduce((on, name) => (Object.hasOwn(on, name) ? on[name] : undefined), api)
    if (typeof method !== 'function') throw new Error(`There is no ${path.join('.')}`)
    return { result: method(...args) }
  } catch ({ message, retry }) {
    return retry ? { error: message, retry } : { error: message }
  }
}
