/** The log that writes: one JSON object a line (pino), on standard error. */
import pino from 'pino'
import { explain } from '../base/errors.ts'
import type { Fields, Log } from '../base/log.ts'

/** Keys whose values never reach the log, wherever they stand. */
const SECRET_KEYS = ['password', 'bmcPassword', 'token', 'clientKey', 'hostKeySeed', 'authorization']

/** @param level debug, info, warn or error */
export function createLog(level: string): Log {
  const paths = SECRET_KEYS.flatMap((key) => [key, `*.${key}`])
  const logger = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, redact: { paths, censor: '[secret]' } },
    pino.destination({ dest: 2, sync: true }),
  )
  return wrap(logger)
}

function wrap(logger: pino.Logger): Log {
  return {
    debug: (event, fields) => logger.debug(readable(fields), event),
    info: (event, fields) => logger.info(readable(fields), event),
    warn: (event, fields) => logger.warn(readable(fields), event),
    error: (event, fields) => logger.error(readable(fields), event),
    with: (fields) => wrap(logger.child(readable(fields))),
  }
}

/** Errors as their message, with the stack of those that are our own bug. */
function readable(fields: Fields = {}): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? { message: explain(value), stack: value.stack } : value,
    ]),
  )
}
