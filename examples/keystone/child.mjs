// The child: it connects, and answers what it is asked until it hears QUIT, or nothing any more.
import { QUIT, UdsClient } from 'fdwire/uds_comms'
import { toJson } from './json.mjs'

const [, , path, attempt] = process.argv
const say = line => console.log(`child   ${line}`)

const USERS = { bob: 'u-1', zoë: 'u-2' }

/** What can be called. */
const api = {
  resolve_user_id: name => USERS[name] ?? null,
  resolve_user_name: id => Object.keys(USERS).find(name => USERS[name] === id) ?? null,
  /** The first two children find it down. */
  wait_until_up() {
    if (Number(attempt) > 2) return 'up'
    throw Object.assign(new Error('The service is not up yet (503)'), { retry: true })
  },
}

const client = await UdsClient.connect(path)
for (;;) {
  const text = await client.receive()
  if (text === null || text === QUIT) break
  await client.send(toJson(reply(text)))
}
await client.close()
say('I was told to quit.')

function reply(text) {
  try {
    const { path, args } = JSON.parse(text)
    // A path is a chain of names; what is inherited is nobody's to call.
    const method = path.reduce((on, name) => (Object.hasOwn(on, name) ? on[name] : undefined), api)
    if (typeof method !== 'function') throw new Error(`There is no ${path.join('.')}`)
    return { result: method(...args) }
  } catch ({ message, retry }) {
    return retry ? { error: message, retry } : { error: message }
  }
}
