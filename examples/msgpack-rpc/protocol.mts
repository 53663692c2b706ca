// MessagePack RPC: the messages and the options of both ends.
import { Packr } from 'msgpackr'

export type Call = [type: 0, id: number, method: string, parameters: unknown[]]
export type Notification = [type: 2, method: string, parameters: unknown[]]
export type Answer = [type: 1, id: number, error: string | null, result: unknown]

/** Each message is one value of MessagePack after its length, of 4 bytes. */
export const options = () =>
  ({
    protocol: 'length_prefixed',
    encoding: new Packr({ useRecords: false, mapsAsObjects: true }),
    maxMessage: 1024 * 1024,
  }) as const
