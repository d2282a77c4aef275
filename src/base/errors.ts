/**
 * Three kinds of failure, by whose fault it is: WireError (the peer's bytes), AppError (the person asking, or the world),
 * anything else (our bug). ERROR_CODES is the only table that maps an error to an HTTP status and an exit code.
 */

/** Bytes from outside that break their format. The message says what was read and what was wrong with it. */
export class WireError extends Error {
  override readonly name = 'WireError'

  /** @param what the document or packet, e.g. `DHCP packet`  @param why e.g. `option 12: 5 bytes needed, 3 left` */
  constructor(what: string, why: string) {
    super(`Cannot read ${what}: ${why}`)
  }
}

/** `exit` follows docker where docker has a number (125: bareboat itself failed before the workload ran). */
export const ERROR_CODES = {
  invalid: { http: 422, exit: 2, means: 'what was asked cannot be done as it is written' },
  unauthorized: { http: 401, exit: 3, means: 'no credential, or one that is not accepted' },
  forbidden: { http: 403, exit: 3, means: 'the credential does not allow this' },
  not_found: { http: 404, exit: 4, means: 'there is no such thing' },
  conflict: { http: 409, exit: 5, means: 'the state that it is in now does not allow this' },
  exhausted: { http: 409, exit: 5, means: 'no free machine, address or space is left' },
  busy: { http: 429, exit: 5, means: 'more is asked of it than it does at a time; a little later it will do it' },
  unreachable: { http: 502, exit: 6, means: 'a peer does not answer or cannot be reached' },
  bad_peer: { http: 502, exit: 6, means: 'a peer answered with something that it must not send' },
  timeout: { http: 504, exit: 7, means: 'it was not done by its deadline' },
  boot_failed: { http: 502, exit: 125, means: 'the machine did not get as far as running the workload' },
  unsupported: { http: 501, exit: 8, means: 'this machine, image or system cannot do it' },
  interrupted: { http: 499, exit: 130, means: 'it was interrupted by the person asking' },
  internal: { http: 500, exit: 70, means: 'a fault of bareboat itself; the log has it whole' },
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** A failure to tell to the person who asked: `Cannot <do what> "<which>": <state now>[; <what would help>]`. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** The message of anything that was thrown, with its causes: `a: b: c`. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError && error.errors.length > 0)
    return [error.message, error.errors.map(explain).join('; ')].filter((text) => text !== '').join(': ')
  return error.cause === undefined ? error.message : `${error.message}: ${explain(error.cause)}`
}

/** The code of a system error (`ENOENT`, `ECONNREFUSED`), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
