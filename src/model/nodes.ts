/** Inventory in the API: what a nodes file changes, and groups of machines. */
import { z } from 'zod'
import { groupName } from './machine.ts'

export const remark = z.object({ line: z.int().describe('of the file, from 1'), text: z.string() })

export const staticReport = z.object({
  dryRun: z.boolean(),
  machines: z.array(
    z.object({
      line: z.int(),
      name: z.string(),
      action: z.enum(['added', 'changed', 'unchanged']),
      changes: z.array(z.object({ field: z.string(), before: z.string(), after: z.string() })),
    }),
  ),
  warnings: z.array(remark),
})
export type StaticReport = z.infer<typeof staticReport>

export const group = z.object({
  name: groupName,
  description: z.string(),
  machines: z.array(z.string()).describe('names of its members'),
})
export type Group = z.infer<typeof group>

export const groupRequest = z
  .object({
    name: groupName,
    description: z.string().max(1024).default(''),
    machines: z.array(z.string().max(256)).max(10_000).default([]).describe('its first members'),
  })
  .strict()
export type GroupRequest = z.input<typeof groupRequest>

const members = z.array(z.string().min(1).max(256)).max(10_000).default([])
export const groupChange = z
  .object({ add: members.describe('machines that come in'), remove: members.describe('machines that go out') })
  .strict()
export type GroupChange = z.input<typeof groupChange>
