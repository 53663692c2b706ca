import type { bind, Channel, Codec, CustomEncoding, over } from 'fdwire'
import * as open from 'fdwire'
import { describe, expectTypeOf, it } from 'vitest'
import type {
  AdoptOptions,
  AllowPeer,
  BindOptions,
  ChannelOptions,
  CodecOptions,
  ConnectOptions,
  DefaultEncodingOf,
  EncodingOf,
  ListenOptions,
  Opener,
  OverOptions,
  Peer,
  Protocol,
  Sendable,
  SendableOf,
  ValueOf,
} from '../../lib/options/check.js'
import type { OPTIONS, OptionName } from '../../lib/options/table.js'

/** Returns the type of a channel's values; infers its parameters as `fdwire`'s `connect` does. */
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

// The assertions are checked by `tsc --project __test__`; at run time these tests always pass.
describe('the types', () => {
  it('infer the value of a message from protocol and encoding', () => {
    expectTypeOf(connect({ protocol: 'jsoncomm' })).toBeUnknown()
    expectTypeOf(connect({ protocol: 'lines' })).toEqualTypeOf<string>()
    expectTypeOf(connect({ protocol: 'lines', encoding: 'json' })).toBeUnknown()
    expectTypeOf(connect({ protocol: 'lines', encoding: 'buffer' })).toEqualTypeOf<Buffer>()
    expectTypeOf(connect({ protocol: 'uds_comms' })).toEqualTypeOf<string>()
    expectTypeOf(connect({ protocol: 'msg_channel' })).toEqualTypeOf<Buffer>()
    expectTypeOf(connect({ protocol: 'length_prefixed', encoding: 'text' })).toEqualTypeOf<string>()
    expectTypeOf(connect({ protocol: 'stockings' })).toEqualTypeOf<string | Buffer>()
    expectTypeOf(connect({ protocol: 'raw', type: 'dgram' })).toEqualTypeOf<Buffer>()
    expectTypeOf(codec('lines')).toEqualTypeOf<string>()
    expectTypeOf(codec('lines', { encoding: 'json' })).toBeUnknown()
    expectTypeOf<ValueOf<'lines'>>().toEqualTypeOf<string>()
  })

  it('derive the values that can be sent from those that are received', () => {
    expectTypeOf<Sendable<string>>().toEqualTypeOf<string>()
    expectTypeOf<Sendable<Buffer>>().toEqualTypeOf<string | ArrayBufferView>()
    expectTypeOf<Sendable<string | Buffer>>().toEqualTypeOf<string | ArrayBufferView>()
    // biome-ignore lint/suspicious/noExplicitAny: a type that programs may declare
    expectTypeOf<Sendable<any>>().toBeAny()
    expectTypeOf<Sendable<unknown>>().toBeUnknown()
  })

  it("allow only the protocol's encodings", () => {
    // @ts-expect-error jsoncomm has only the encoding json
    connect({ protocol: 'jsoncomm', encoding: 'text' })
    // @ts-expect-error stockings has no option encoding
    connect({ protocol: 'stockings', encoding: 'text' })
    // @ts-expect-error raw has no encoding text
    codec('raw', { encoding: 'text' })
    // @ts-expect-error no such encoding
    connect({ protocol: 'lines', encoding: 'utf8' })
    connect({ protocol: 'uds_comms', encoding: 'json' })
  })

  it('infer both directions from the methods of a custom encoding', () => {
    class Dates {
      encode(value: Date): string {
        return value.toISOString()
      }
      decode(bytes: Buffer): number {
        return Date.parse(String(bytes))
      }
    }
    const encoding = new Dates()
    expectTypeOf(connect({ protocol: 'lines', encoding })).toEqualTypeOf<number>()
    expectTypeOf(codec('varint', { encoding })).toEqualTypeOf<number>()
    expectTypeOf<ValueOf<'raw', Dates>>().toEqualTypeOf<number>()
    expectTypeOf<SendableOf<'raw', Dates>>().toEqualTypeOf<Date>()
    const calls = {
      connect: () => open.connect('a', { protocol: 'netstring', encoding }),
      pair: () => open.pair({ protocol: 'raw', type: 'dgram', encoding }),
      inline: () =>
        open.pair({
          protocol: 'length_prefixed',
          encoding: {
            encode: (value: { id: number }) => JSON.stringify(value),
            decode: bytes => bytes.length,
          },
        }),
      json: <T>(custom: CustomEncoding<T>) => open.pair({ protocol: 'lines', encoding: custom }),
    }
    expectTypeOf(calls.connect).returns.toEqualTypeOf<Promise<Channel<number, Date>>>()
    expectTypeOf(calls.pair).returns.toEqualTypeOf<[Channel<number, Date>, Channel<number, Date>]>()
    expectTypeOf(calls.inline).returns.items.toEqualTypeOf<Channel<number, { id: number }>>()
    const none = (_: unknown) => {}
    // @ts-expect-error jsoncomm carries no Buffers
    none(() => connect({ protocol: 'jsoncomm', encoding }))
    // @ts-expect-error stockings has no option encoding
    none(() => connect({ protocol: 'stockings', encoding }))
    // @ts-expect-error encode must not return a promise
    none(() => connect({ protocol: 'lines', encoding: { encode: async () => '', decode: Number } }))
    // @ts-expect-error decode is missing
    none(() => connect({ protocol: 'lines', encoding: { encode: String } }))
    const numbers = { encode: String, decode: (n: number) => n }
    // @ts-expect-error decode gets a Buffer
    none(() => connect({ protocol: 'lines', encoding: numbers }))
    // @ts-expect-error the type arguments of a call are for JSON
    none(() => open.connect<number>('a', { protocol: 'lines', encoding }))
  })

  it("allow only the protocol's types and options", () => {
    // @ts-expect-error lines has only the type stream
    connect({ protocol: 'lines', type: 'dgram' })
    // @ts-expect-error lenient is an option of uds_comms
    connect({ protocol: 'lines', lenient: true })
    // @ts-expect-error allowEmpty is an option of stockings
    codec('raw', { allowEmpty: true })
    // @ts-expect-error no such option
    connect({ protocol: 'lines', maxMesage: 3 })
    // @ts-expect-error no such protocol
    connect({ protocol: 'nonsense' })
    // @ts-expect-error protocol is required
    connect({ encoding: 'json' })
    connect({ protocol: 'lines', type: 'stream', finalLine: true, lenient: undefined })
    expectTypeOf<'lines'>().not.toExtend<Parameters<typeof bind>[1]['protocol']>()
    expectTypeOf<'raw'>().toExtend<Parameters<typeof bind>[1]['protocol']>()
    expectTypeOf<'jsoncomm'>().not.toExtend<ConstructorParameters<typeof Codec>[0]>()
    expectTypeOf<'jsoncomm'>().not.toExtend<Parameters<typeof over>[1]['protocol']>()
    codec('uds_comms', { lenient: true, onMalformed: error => void error.message })
  })

  it('define the peer that allowPeer receives', () => {
    const decide: AllowPeer = ({ uid, host }) => uid === 0 || host === '127.0.0.1'
    expectTypeOf(decide).parameter(0).toEqualTypeOf<Peer>()
    expectTypeOf<Peer['pidfd']>().toEqualTypeOf<number | undefined>()
    const peer = { pid: 1, uid: 0, gid: 0, pidfd: undefined } satisfies Peer
    expectTypeOf(peer).toExtend<Peer>()
  })

  it("allow only the function's options", () => {
    expectTypeOf<ListenOptions>().toHaveProperty('backlog')
    expectTypeOf<ConnectOptions>().not.toHaveProperty('backlog')
    expectTypeOf<BindOptions>().not.toHaveProperty('noDelay')
    expectTypeOf<ChannelOptions>().not.toHaveProperty('mode')
    expectTypeOf<OverOptions>().not.toHaveProperty('maxFds')
    expectTypeOf<CodecOptions>().not.toHaveProperty('protocol')
  })

  it('give each function the options that the table declares for it', () => {
    expectTypeOf<keyof BindOptions>().toEqualTypeOf<NamesOf<'bind'>>()
    expectTypeOf<keyof ConnectOptions>().toEqualTypeOf<NamesOf<'connect'>>()
    expectTypeOf<keyof ListenOptions>().toEqualTypeOf<NamesOf<'listen'>>()
    expectTypeOf<keyof ChannelOptions>().toEqualTypeOf<NamesOf<'pair'>>()
    expectTypeOf<keyof AdoptOptions>().toEqualTypeOf<NamesOf<'adopt'>>()
    // Where no descriptors can be passed, maxFds can only be 0.
    expectTypeOf<keyof OverOptions | 'maxFds'>().toEqualTypeOf<NamesOf<'over'>>()
    // The protocol of a codec is its first argument.
    expectTypeOf<keyof CodecOptions | 'maxFds' | 'protocol'>().toEqualTypeOf<NamesOf<'Codec'>>()
  })
})

/** The names of the options that the table declares for a function. */
type NamesOf<O extends Opener> = {
  [Name in OptionName]: O extends (typeof OPTIONS)[Name]['of'][number] ? Name : never
}[OptionName]
