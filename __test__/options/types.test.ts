import type { bind, Codec, over } from 'fdwire'
import { describe, expectTypeOf, it } from 'vitest'
import type {
  AllowPeer,
  BindOptions,
  ChannelOptions,
  CodecOptions,
  ConnectOptions,
  DefaultEncodingOf,
  EncodingOf,
  ListenOptions,
  OverOptions,
  Peer,
  Protocol,
  Sendable,
  ValueOf,
} from '../../lib/options/check.js'

/** What the channel of a function brings, whose parameters are inferred as those of the real ones. */
function connect<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  _: ConnectOptions<P, E>,
): ValueOf<P, E> {
  return undefined as never
}
function codec<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  _: P,
  __: CodecOptions<P, E> = {},
): ValueOf<P, E> {
  return undefined as never
}

// Nothing here is run for its result: what counts is that `tsc --project __test__` accepts it.
describe('the types know', () => {
  it('what a message is, by protocol and encoding', () => {
    expectTypeOf(connect({ protocol: 'jsoncomm' })).toBeAny()
    expectTypeOf(connect({ protocol: 'lines' })).toEqualTypeOf<string>()
    expectTypeOf(connect({ protocol: 'lines', encoding: 'json' })).toBeAny()
    expectTypeOf(connect({ protocol: 'lines', encoding: 'buffer' })).toEqualTypeOf<Buffer>()
    expectTypeOf(connect({ protocol: 'uds_comms' })).toEqualTypeOf<string>()
    expectTypeOf(connect({ protocol: 'msg_channel' })).toEqualTypeOf<Buffer>()
    expectTypeOf(connect({ protocol: 'length_prefixed', encoding: 'text' })).toEqualTypeOf<string>()
    expectTypeOf(connect({ protocol: 'stockings' })).toEqualTypeOf<string | Buffer>()
    expectTypeOf(connect({ protocol: 'raw', type: 'dgram' })).toEqualTypeOf<Buffer>()
    expectTypeOf(codec('lines')).toEqualTypeOf<string>()
    expectTypeOf(codec('lines', { encoding: 'json' })).toBeAny()
    expectTypeOf<ValueOf<'lines'>>().toEqualTypeOf<string>()
  })

  it('what can be sent', () => {
    expectTypeOf<Sendable<string>>().toEqualTypeOf<string>()
    expectTypeOf<Sendable<Buffer>>().toEqualTypeOf<string | ArrayBufferView>()
    expectTypeOf<Sendable<string | Buffer>>().toEqualTypeOf<string | ArrayBufferView>()
    // biome-ignore lint/suspicious/noExplicitAny: it is what JSON.parse gives
    expectTypeOf<Sendable<any>>().toBeAny()
    expectTypeOf<Sendable<unknown>>().toBeUnknown()
  })

  it('which encodings a protocol has', () => {
    // @ts-expect-error jsoncomm is JSON
    connect({ protocol: 'jsoncomm', encoding: 'text' })
    // @ts-expect-error there is nothing to choose
    connect({ protocol: 'stockings', encoding: 'text' })
    // @ts-expect-error raw has no text
    codec('raw', { encoding: 'text' })
    // @ts-expect-error no such encoding
    connect({ protocol: 'lines', encoding: 'utf8' })
    connect({ protocol: 'uds_comms', encoding: 'json' })
  })

  it('which types and options a protocol has', () => {
    // @ts-expect-error lines goes over streams
    connect({ protocol: 'lines', type: 'dgram' })
    // @ts-expect-error lenient is one of uds_comms
    connect({ protocol: 'lines', lenient: true })
    // @ts-expect-error allowEmpty is one of stockings
    codec('raw', { allowEmpty: true })
    // @ts-expect-error no such option
    connect({ protocol: 'lines', maxMesage: 3 })
    // @ts-expect-error no such protocol
    connect({ protocol: 'nonsense' })
    // @ts-expect-error it is required
    connect({ encoding: 'json' })
    connect({ protocol: 'lines', type: 'stream', finalLine: true, lenient: undefined })
    expectTypeOf<'lines'>().not.toExtend<Parameters<typeof bind>[1]['protocol']>()
    expectTypeOf<'raw'>().toExtend<Parameters<typeof bind>[1]['protocol']>()
    expectTypeOf<'jsoncomm'>().not.toExtend<ConstructorParameters<typeof Codec>[0]>()
    expectTypeOf<'jsoncomm'>().not.toExtend<Parameters<typeof over>[1]['protocol']>()
    codec('uds_comms', { lenient: true, onMalformed: error => void error.message })
  })

  it('who the peer may be, whatever it is asked for', () => {
    const decide: AllowPeer = ({ uid, host }) => uid === 0 || host === '127.0.0.1'
    expectTypeOf(decide).parameter(0).toEqualTypeOf<Peer>()
    expectTypeOf<Peer['pidfd']>().toEqualTypeOf<number | undefined>()
    const peer = { pid: 1, uid: 0, gid: 0, pidfd: undefined } satisfies Peer
    expectTypeOf(peer).toExtend<Peer>()
  })

  it('which options a function has', () => {
    expectTypeOf<ListenOptions>().toHaveProperty('backlog')
    expectTypeOf<ConnectOptions>().not.toHaveProperty('backlog')
    expectTypeOf<BindOptions>().not.toHaveProperty('noDelay')
    expectTypeOf<ChannelOptions>().not.toHaveProperty('mode')
    expectTypeOf<OverOptions>().not.toHaveProperty('maxFds')
    expectTypeOf<CodecOptions>().not.toHaveProperty('protocol')
  })
})
