/** A database that cannot be written any more ends the daemon: what is acknowledged is durable, or nothing is acknowledged. */
import { aborted, type Task } from '../base/task.ts'
import type { SqliteStore } from '../drivers/store/sqlite/database.ts'

export function untilBroken(name: string, { broken }: Pick<SqliteStore<never>, 'broken'>): Task {
  return {
    name,
    async run(signal, ready) {
      ready()
      await aborted(AbortSignal.any([signal, broken]))
      if (broken.aborted) throw broken.reason
    },
  }
}
