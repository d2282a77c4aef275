/** The keeper's log: one JSON line on standard error for each event, which `rackUp` has pointed at `keeper.log`. */
import type { Fields, Log } from '../base/log.ts'

export function lineLog(identity: Fields = {}): Log {
  const write = (level: string, event: string, fields: Fields = {}): void => {
    process.stderr.write(
      `${JSON.stringify({ time: new Date().toISOString(), level, event, ...identity, ...fields })}\n`,
    )
  }
  return {
    debug() {},
    info: (event, fields) => write('info', event, fields),
    warn: (event, fields) => write('warn', event, fields),
    error: (event, fields) => write('error', event, fields),
    with: (fields) => lineLog({ ...identity, ...fields }),
  }
}
