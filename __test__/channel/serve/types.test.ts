/** The types of serve, which the compiler checks. */
import {
  type Channel,
  type FdSet,
  type Listener,
  Reply,
  type ServeContext,
  type ServeHandler,
} from 'fdwire'
import { describe, expectTypeOf, it } from 'vitest'

type Ask = { ask: string }
type Answer = { answer: number }

declare const channel: Channel<Ask, Answer>
declare const texts: Listener<Channel<string>>
declare const listener: Listener<Channel<Ask, Answer>>

// Only the compiler reads these functions.
describe('the types of serve', () => {
  it('give the handler what the channel receives, and take what it sends', () => {
    const check = () => {
      channel.serve((value, fds, context) => {
        expectTypeOf(value).toEqualTypeOf<Ask>()
        expectTypeOf(fds).toEqualTypeOf<FdSet>()
        expectTypeOf(context).toEqualTypeOf<ServeContext<Ask, Answer>>()
        return { answer: value.ask.length }
      })
      channel.serve(async () => new Reply({ answer: 1 }, { fds: [1] }))
      channel.serve(() => undefined)
      channel.serve(() => {})
      channel.serve(async () => {})
      channel.serve(() => ({ answer: 1 }), { onError: async (_, { ask }) => ({ answer: +ask }) })
      // @ts-expect-error: the reply has another type
      channel.serve(() => ({ answer: 'text' }))
      // @ts-expect-error: the reply of onError has another type
      channel.serve(() => ({ answer: 1 }), { onError: () => 'text' })
    }
    expectTypeOf(check).toBeFunction()
  })

  it('are the same for a listener', () => {
    const check = () => {
      listener.serve(({ ask }) => ({ answer: ask.length }), { concurrency: 2 })
      texts.serve(text => text.toUpperCase())
      // @ts-expect-error: the reply has another type
      texts.serve(text => text.length)
    }
    expectTypeOf(check).toBeFunction()
  })

  it('have a name for a handler', () => {
    expectTypeOf<ServeHandler<Ask, Answer>>().toBeCallableWith(
      { ask: 'x' },
      {} as FdSet,
      {} as ServeContext<Ask, Answer>,
    )
  })
})
