/** What a caller may do that nobody expects. */
import { once } from 'node:events'
import { fstatSync } from 'node:fs'
import { bind } from 'fdwire'
import { expect, it } from 'vitest'
import {
  channelPair,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  track,
  withFd,
} from '../support/channels.js'

destroyChannelsAfterEach()

it('a getter among the fds that sends on its own changes nothing of the message', async () => {
  const [a, b] = channelPair()
  await withFd(
    first =>
      withFd(
        second =>
          withFd(async inner => {
            const fds = [first, 0]
            const get = () => {
              a.send('inner', { fds: [inner] })
              return second
            }
            Object.defineProperty(fds, 1, { get })
            a.send('outer', { fds })
            const sentWithin = await b.receive()
            expect(sentWithin?.value).toBe('inner')
            sentWithin?.fds.close()
            const message = await b.receive()
            const devices = [...(message?.fds ?? [])].map(fd => fstatSync(fd).rdev)
            expect(devices).toEqual([first, second].map(fd => fstatSync(fd).rdev))
            message?.fds.close()
          }, '/dev/zero'),
        '/dev/full',
      ),
    '/dev/null',
  )
  b.destroy()
})

it('a relative path that was sent to before it was a sender stays usable', async () => {
  const relative = `relative-${process.pid}.sock`
  const server = track(await bind(relative, JSONCOMM))
  const client = track(await bind('', JSONCOMM))
  server.on('message', (value, _, from) => server.send(value, { to: from as string }))
  for (let i = 0; i < 3; i++) {
    expect((await client.request(i, { to: relative })).value).toBe(i)
  }
  const stranger = track(await bind(`${relative}.2`, JSONCOMM))
  stranger.send('I am a path of mine', { to: client.localAddress as string })
  await once(client, 'message')
  expect(() => client.send('hello?', { to: `${relative}.2` })).toThrow(errorWithCode('BAD_ADDRESS'))
})

it('no warning of held descriptors where they are only read ahead', async () => {
  const [a, b] = channelPair({ maxOpenFds: 8 })
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  await withFd(async fd => {
    for (let i = 0; i < 100; i++) a.send(i, { fds: [fd] })
    for (let i = 0; i < 100; i++) (await b.receive())?.fds.close()
  })
  process.off('warning', onWarning)
  expect(warnings).toEqual([])
})

it('options that are no object are refused by every call', async () => {
  const [a] = channelPair()
  for (const options of [5, null, 'x']) {
    const wrong = options as never
    expect(() => a.send(1, wrong)).toThrow(/options as an object/)
    await expect(a.receive(wrong)).rejects.toThrow(/options as an object/)
    await expect(a.request(1, wrong)).rejects.toThrow(/options as an object/)
    expect(() => a.close(wrong)).toThrow(/options as an object/)
  }
})
