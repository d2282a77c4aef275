import { AppError } from '../../base/errors.ts'
import type { LogChunk } from '../../model/api.ts'
import type { LogQuery, LogStore, LogStream } from '../../services/containers/ports.ts'

/** What a query string asks of a log. @throws {AppError} invalid */
export function logQuery(params: URLSearchParams, streams: readonly LogStream[], signal: AbortSignal): LogQuery {
  const since = params.get('since')
  const tail = params.get('tail')
  return {
    streams,
    signal,
    follow: params.get('follow') === 'true',
    ...(since === null ? {} : { sinceMs: wholeNumber('since', since) }),
    ...(tail === null || tail === 'all' ? {} : { tailLines: wholeNumber('tail', tail) }),
  }
}

/** A log as it goes over the API. */
export async function* logLines(
  logs: LogStore,
  logId: string,
  params: URLSearchParams,
  streams: readonly LogStream[],
  signal: AbortSignal,
): AsyncGenerator<LogChunk> {
  for await (const piece of logs.read(logId, logQuery(params, streams, signal)))
    yield { at: piece.atMs, stream: piece.stream, data: Buffer.from(piece.bytes).toString('base64') }
}

/** @throws {AppError} invalid */
export function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text))
    throw new AppError('invalid', `Cannot read parameter "${name}": "${text}" is not a whole number`)
  return Number(text)
}
