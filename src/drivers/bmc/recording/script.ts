/** Answers questions from what was recorded, in its order. */
import { AppError } from '../../../base/errors.ts'

export interface Script<T> {
  /**
   * The next recorded exchange with this question, and before the next change that was recorded; where there is none, the latest that
   * was played: whoever asks more often than was recorded sees what was seen last, and nothing that a change brought before it is made.
   * @throws {AppError} `not_found` when this was never asked
   */
  next(asked: T): T
}

/** @param keyOf what makes two questions the same  @param isChange whether one asks for something to be done */
export function createScript<T>(
  recorded: readonly T[],
  { keyOf, isChange }: { keyOf: (exchange: T) => string; isChange: (exchange: T) => boolean },
): Script<T> {
  let at = 0
  return {
    next(asked) {
      const key = keyOf(asked)
      const isSame = (exchange: T) => keyOf(exchange) === key
      const ahead = recorded.findIndex((exchange, n) => n >= at && isSame(exchange))
      const change = recorded.findIndex((exchange, n) => n >= at && isChange(exchange))
      const before = recorded.slice(0, at).findLast(isSame)
      if (ahead >= 0 && (change < 0 || ahead <= change || isChange(asked) || !before)) {
        at = ahead + 1
        return recorded[ahead]!
      }
      if (before) return before
      throw new AppError(
        'not_found',
        `Cannot play this recording further: "${key}" was never asked; it was made by another version, or of another operation`,
      )
    },
  }
}
