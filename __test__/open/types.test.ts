import type { Duplex } from 'node:stream'
import {
  adopt,
  bind,
  type Channel,
  connect,
  type FdSet,
  type Listener,
  listen,
  type Message,
  over,
  pair,
} from 'fdwire'
import { describe, expectTypeOf, it } from 'vitest'

interface Command {
  run: string
}
interface Result {
  status: number
}

const ADDRESS = 'app.sock'
const JSON_LINES = { protocol: 'lines', encoding: 'json' } as const

// The assertions are checked by `tsc --project __test__`; at run time these tests always pass, and
// the functions that they define are never called.
describe('the type of a channel', () => {
  it('is declared by the type arguments of a call with JSON', () => {
    const calls = {
      connect: () => connect<Command, Result>(ADDRESS, { protocol: 'jsoncomm' }),
      listen: () => listen<Command, Result>(ADDRESS, JSON_LINES),
      bind: () => bind<Command, Result>(ADDRESS, { protocol: 'jsoncomm', mode: 0o600 }),
      adopt: () => adopt<Command, Result>(3, { protocol: 'msg_channel', encoding: 'json' }),
      over: (stream: Duplex) => over<Command, Result>(stream, JSON_LINES),
      pair: () => pair<Command, Result>({ protocol: 'jsoncomm', type: 'seqpacket' }),
    }
    type Typed = Channel<Command, Result>
    expectTypeOf(calls.connect).returns.toEqualTypeOf<Promise<Typed>>()
    expectTypeOf(calls.listen).returns.toEqualTypeOf<Promise<Listener<Typed>>>()
    expectTypeOf(calls.bind).returns.toEqualTypeOf<Promise<Typed>>()
    expectTypeOf(calls.adopt).returns.toEqualTypeOf<Typed>()
    expectTypeOf(calls.over).returns.toEqualTypeOf<Typed>()
    expectTypeOf(calls.pair).returns.toEqualTypeOf<[Typed, Channel<Result, Command>]>()
  })

  it('has one type for both directions if the call has one type argument', () => {
    const calls = {
      connect: () => connect<Command>(ADDRESS, { protocol: 'jsoncomm' }),
      listen: () => listen<Command>(ADDRESS, JSON_LINES),
      bind: () => bind<Command>(ADDRESS, { protocol: 'jsoncomm' }),
      adopt: () => adopt<Command>(3, JSON_LINES),
      over: (stream: Duplex) => over<Command>(stream, JSON_LINES),
      pair: () => pair<Command>({ protocol: 'jsoncomm' }),
    }
    type Typed = Channel<Command, Command>
    expectTypeOf<Channel<Command>>().toEqualTypeOf<Typed>()
    expectTypeOf(calls.connect).returns.toEqualTypeOf<Promise<Typed>>()
    expectTypeOf(calls.listen).returns.toEqualTypeOf<Promise<Listener<Typed>>>()
    expectTypeOf(calls.bind).returns.toEqualTypeOf<Promise<Typed>>()
    expectTypeOf(calls.adopt).returns.toEqualTypeOf<Typed>()
    expectTypeOf(calls.over).returns.toEqualTypeOf<Typed>()
    expectTypeOf(calls.pair).returns.toEqualTypeOf<[Typed, Typed]>()
  })

  it('is unknown for JSON without type arguments', () => {
    const calls = {
      connect: () => connect(ADDRESS, { protocol: 'jsoncomm' }),
      listen: () => listen(ADDRESS, JSON_LINES),
      bind: () => bind(null, { protocol: 'jsoncomm' }),
      adopt: () => adopt(3, JSON_LINES),
      over: (stream: Duplex) => over(stream, JSON_LINES),
      pair: () => pair({ protocol: 'jsoncomm' }),
    }
    type Untyped = Channel<unknown, unknown>
    expectTypeOf<Channel>().toEqualTypeOf<Untyped>()
    expectTypeOf(calls.connect).returns.toEqualTypeOf<Promise<Untyped>>()
    expectTypeOf(calls.listen).returns.toEqualTypeOf<Promise<Listener<Untyped>>>()
    expectTypeOf(calls.bind).returns.toEqualTypeOf<Promise<Untyped>>()
    expectTypeOf(calls.adopt).returns.toEqualTypeOf<Untyped>()
    expectTypeOf(calls.over).returns.toEqualTypeOf<Untyped>()
    expectTypeOf(calls.pair).returns.toEqualTypeOf<[Untyped, Untyped]>()
  })

  it('follows from the encoding if messages are not JSON', () => {
    type Bytes = string | ArrayBufferView
    const calls = {
      connect: () => connect(ADDRESS, { protocol: 'lines' }),
      listen: () => listen(ADDRESS, { protocol: 'stockings' }),
      bind: () => bind(ADDRESS, { protocol: 'raw', type: 'dgram' }),
      adopt: () => adopt(3, { protocol: 'length_prefixed', encoding: 'text' }),
      over: (stream: Duplex) => over(stream, { protocol: 'lines', encoding: 'buffer' }),
      pair: () => pair({ protocol: 'raw' }),
    }
    expectTypeOf(calls.connect).returns.toEqualTypeOf<Promise<Channel<string, string>>>()
    expectTypeOf(calls.listen).returns.toEqualTypeOf<
      Promise<Listener<Channel<string | Buffer, Bytes>>>
    >()
    expectTypeOf(calls.bind).returns.toEqualTypeOf<Promise<Channel<Buffer, Bytes>>>()
    expectTypeOf(calls.adopt).returns.toEqualTypeOf<Channel<string, string>>()
    expectTypeOf(calls.over).returns.toEqualTypeOf<Channel<Buffer, Bytes>>()
    expectTypeOf(calls.pair).returns.toEqualTypeOf<[Channel<Buffer>, Channel<Buffer>]>()
  })

  it('cannot be declared if messages are not JSON', () => {
    void [
      // @ts-expect-error messages of lines are text by default
      () => connect<Command, Result>(ADDRESS, { protocol: 'lines' }),
      // @ts-expect-error these are Buffers
      () => connect<Command>(ADDRESS, { protocol: 'lines', encoding: 'buffer' }),
      // @ts-expect-error messages of stockings are text or Buffers
      () => listen<Command, Result>(ADDRESS, { protocol: 'stockings' }),
      // @ts-expect-error messages of raw are Buffers
      () => bind<Command, Result>(ADDRESS, { protocol: 'raw', type: 'dgram' }),
      // @ts-expect-error messages of uds_comms are text by default
      () => adopt<Command, Result>(3, { protocol: 'uds_comms' }),
      // @ts-expect-error a type of its own, which the channel checks
      () => pair<Command, Result>({ protocol: 'socket_protocol' }),
      // @ts-expect-error messages of msg_channel are Buffers by default
      (stream: Duplex) => over<Command, Result>(stream, { protocol: 'msg_channel' }),
    ]
  })

  it('decides the values of send, request and sendAll, and those of messages', () => {
    type Typed = Channel<Result, Command>
    expectTypeOf<Typed['send']>().parameter(0).toEqualTypeOf<Command>()
    expectTypeOf<Typed['request']>().parameter(0).toEqualTypeOf<Command>()
    expectTypeOf<Typed['request']>().returns.toEqualTypeOf<Promise<Message<Result>>>()
    expectTypeOf<Typed['sendAll']>().parameter(0).toEqualTypeOf<Iterable<Command>>()
    expectTypeOf<Typed['receive']>().returns.toEqualTypeOf<Promise<Message<Result> | null>>()
    void ((channel: Typed) =>
      channel.on('message', (value, fds) => {
        expectTypeOf(value).toEqualTypeOf<Result>()
        expectTypeOf(fds).toEqualTypeOf<FdSet>()
      }))
  })

  it("allows only the protocol's options in a call with type arguments", () => {
    void [
      // @ts-expect-error lenient is an option of uds_comms
      () => connect<Command>(ADDRESS, { ...JSON_LINES, lenient: true }),
      // @ts-expect-error no such option
      () => connect<Command>(ADDRESS, { ...JSON_LINES, maxMesage: 3 }),
      // @ts-expect-error lines does not run over datagrams
      () => bind<Command>(ADDRESS, JSON_LINES),
      // @ts-expect-error over has no option type
      (stream: Duplex) => over<Command>(stream, { ...JSON_LINES, type: 'stream' }),
      () => connect<Command>(ADDRESS, { ...JSON_LINES, finalLine: true, timeout: 5 }),
    ]
  })
})
