/** Follows what the BMC does after it said 202: a task and its monitor (DSP0266 §12, "Asynchronous operations"). */
import { z } from 'zod'
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { RedfishAnswer, RedfishClient } from './client.ts'
import { extendedMessages } from './refusal.ts'

const taskSchema = z.object({
  TaskState: z.string().max(64).nullish().catch(null),
  TaskMonitor: z.string().nullish().catch(null),
  Messages: z.array(z.unknown()).nullish().catch(null),
})
const BAD_ENDS = new Set(['Exception', 'Killed', 'Cancelled', 'Interrupted'])

/**
 * Waits for the end of a task, if the answer is one.
 *
 * A task that is gone or cannot be read, or that is not done by `deadlineMs`, says nothing: whether it was done is read at its object.
 * @throws {AppError} `bad_peer` with the task's words when it ended otherwise than completed
 */
export async function followTask(
  client: RedfishClient,
  answer: RedfishAnswer,
  { pollMs, deadlineMs, signal }: { pollMs: number; deadlineMs: number; signal: AbortSignal | undefined },
): Promise<void> {
  const monitor = answer.location ?? taskSchema.safeParse(answer.body).data?.TaskMonitor ?? undefined
  if (answer.status !== 202 || monitor === undefined) return
  const endMs = performance.now() + deadlineMs
  while (performance.now() < endMs) {
    const now = await look(client, monitor, signal)
    if (now === undefined) return
    const task = taskSchema.safeParse(now.body).data
    if (task?.TaskState && BAD_ENDS.has(task.TaskState)) throw failed(client, monitor, task.TaskState, task.Messages)
    if (now.status !== 202) return
    await sleep(pollMs, signal)
  }
}

async function look(client: RedfishClient, path: string, signal?: AbortSignal): Promise<RedfishAnswer | undefined> {
  try {
    return await client.monitor(path, signal)
  } catch (error) {
    // The monitor is not the deed: what it does not say is read at the object.
    if (error instanceof AppError) return undefined
    throw error
  }
}

function failed(client: RedfishClient, path: string, state: string, messages: unknown): AppError {
  const said = extendedMessages({ '@Message.ExtendedInfo': messages }, [])
    .map(({ name, text }) => (text === '' ? name : `${name} (${text})`))
    .join(', ')
  return new AppError(
    'bad_peer',
    `Cannot do this on BMC "${client.address}": its task "${path}" ended as ${state}${said === '' ? '' : `: ${said}`}`,
  )
}
