/** What a command is: the tables of commands are made of these. */
import { Reader } from '../../base/bytes.ts'
import type { Privilege } from './rakp.ts'

/** A pair of inverse functions. `read` throws WireError on bytes that are not such a value. */
export interface Codec<T> {
  read(bytes: Uint8Array): T
  write(value: T): Uint8Array
}

export interface Command<Q, A> {
  readonly name: string
  readonly netFn: number
  readonly command: number
  readonly privilege: Privilege
  /** True when doing it twice is the same as once, so that it may be sent again when the answer was lost. */
  readonly isIdempotent: boolean
  /** Clause of IPMI v2.0 rev 1.1. */
  readonly ref: string
  readonly request: Codec<Q>
  readonly answer: Codec<A>
}

/** The codec of a request or an answer that says nothing. */
export const nothing: Codec<void> = { read: () => undefined, write: () => new Uint8Array() }
export const oneByte = (field: string): Codec<number> => ({
  read: (bytes) => new Reader(bytes, field).u8(field),
  write: (value) => Uint8Array.of(value),
})

/** One row of a table of commands. */
export function command<Q, A>(
  name: string,
  netFn: number,
  number: number,
  privilege: Privilege,
  isIdempotent: boolean,
  ref: string,
  request: Codec<Q>,
  answer: Codec<A>,
): Command<Q, A> {
  return { name, netFn, command: number, privilege, isIdempotent, ref, request, answer }
}
