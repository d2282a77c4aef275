/** Members of a Redfish collection (DSP0266 §9.4), page after page. */
import { z } from 'zod'
import { AppError } from '../../../base/errors.ts'
import type { RedfishClient } from './client.ts'

const MAX_MEMBERS = 4096
const MAX_PAGES = 128

const pageSchema = z.object({
  Members: z.array(z.object({ '@odata.id': z.string() })).max(MAX_MEMBERS),
  'Members@odata.nextLink': z.string().nullish(),
})

/**
 * The paths of all members, each once, in the order of the service.
 * @throws {AppError} `bad_peer` for a collection that is none, has more than 4096 members, or whose pages lead back to one that was read
 */
export async function memberPaths(
  client: RedfishClient,
  path: string,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const found = new Set<string>()
  const seen = new Set<string>()
  for (let next: string | undefined = path; next !== undefined;) {
    if (seen.has(next) || seen.size === MAX_PAGES) throw wrong(client, path, 'its pages have no end')
    seen.add(next)
    const page = pageSchema.safeParse((await client.get(next, signal)).body)
    if (!page.success) throw wrong(client, path, 'it has no Members, or too many')
    for (const member of page.data.Members) found.add(member['@odata.id'])
    if (found.size > MAX_MEMBERS) throw wrong(client, path, `it has more than ${MAX_MEMBERS} members`)
    next = page.data['Members@odata.nextLink'] ?? undefined
  }
  return [...found]
}

function wrong(client: RedfishClient, path: string, why: string): AppError {
  return new AppError('bad_peer', `Cannot read the collection "${path}" of BMC "${client.address}": ${why}`)
}
