/**
 * The log as the rooms see it: lines are events, lower case, constant text; data goes in fields. The daemon hands in one that
 * writes; tests hand in `quietLog`.
 */
export type Fields = Readonly<Record<string, unknown>>

export interface Log {
  /** Why we stayed silent, what we parsed. */
  debug(event: string, fields?: Fields): void
  /** An operator would act on it or be glad. */
  info(event: string, fields?: Fields): void
  /** We went on, but. */
  warn(event: string, fields?: Fields): void
  /** Said once, where the error stops. */
  error(event: string, fields?: Fields): void
  /** A child whose lines all carry `fields`. */
  with(fields: Fields): Log
}

export const quietLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => quietLog,
}
