/** What kvmd says when it declines: the name of its class of errors, and words. */
const STATUSES: Readonly<Record<string, number>> = {
  UnauthorizedError: 401,
  ForbiddenError: 403,
  NotFoundError: 404,
  AtxIsBusyError: 409,
  MsdIsBusyError: 409,
}

export class PikvmError extends Error {
  override readonly name: string

  /** @param name a class of kvmd, e.g. `MsdConnectedError` */
  constructor(name: string, message: string) {
    super(message)
    this.name = name
  }

  /** All but these are 400 (kvmd/htserver.py). */
  get status(): number {
    return STATUSES[this.name] ?? 400
  }
}
