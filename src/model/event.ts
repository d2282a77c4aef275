/** Events: what happened to which thing. Written in the transaction that made it happen. */
import { z } from 'zod'

export const event = z.object({
  id: z.int().describe('increases by one with each event'),
  at: z.int().describe('milliseconds since the epoch'),
  kind: z.enum(['container', 'machine', 'image', 'kit', 'group', 'daemon']),
  action: z.string().describe('create, start, stage, die, power-on, pull, …'),
  subjectId: z.string(),
  name: z.string(),
  source: z.string().describe('who saw it: dhcp, tftp, boot, guest, bmc, daemon'),
  attributes: z.record(z.string(), z.string()),
})
export type Event = z.infer<typeof event>
export type NewEvent = Omit<Event, 'id' | 'at'>
