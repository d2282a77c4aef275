/**
 * Walks a Redfish service without being led around by it: every resource is asked for once, only below `/redfish/v1`, never more than
 * a bound of them, and what cannot be read is a note and not the end.
 */
import { AppError, WireError } from '../../base/errors.ts'
import { asResource, linksOf, objectsOf, pathOf, type Resource } from './resource.ts'

/** Reads one resource. What it throws is an AppError or WireError when the BMC is at fault. */
export type RedfishGet = (path: string) => Promise<unknown>

export interface WalkLimits {
  /** How many resources are asked for at most; default 2000. */
  readonly maxResources?: number
  /** How many pages of one collection are followed; default 64. */
  readonly maxPages?: number
  /** How many members of one collection are read; default 512. */
  readonly maxMembers?: number
  /** How many notes are kept; default 200. */
  readonly maxNotes?: number
}

export interface Walk {
  /**
   * The resource at a path; undefined, with a note, when it cannot be read. A second call for a path asks nothing.
   * @throws {AppError} `unauthorized` always, and whatever the very first resource throws: without it there is nothing to walk
   */
  read(path: string | undefined): Promise<Resource | undefined>
  /** The members of the collection at a path, over all its pages (DSP0266 §8.4.4), without those that cannot be read. */
  members(path: string | undefined): Promise<Resource[]>
  note(text: string): void
  /** What was missing or odd since this was last asked, each once. A resource that could not be read is told of again to who wants it again. */
  readonly takeNotes: () => string[]
  /** How many resources were asked for. */
  readonly count: () => number
}

/** After so many failures in a row that mean that nobody is there, nothing more is asked. */
const MAX_SILENCES = 3
/** Asked for with the slash that DSP0266 §8.2 gives it. */
const ROOT = '/redfish/v1'

/** @param get is called for one path after the other, never for two at once by one caller of this walk */
export function createWalk(
  get: RedfishGet,
  { maxResources = 2000, maxPages = 64, maxMembers = 512, maxNotes = 200 }: WalkLimits = {},
): Walk {
  const asked = new Map<string, Promise<Resource | undefined>>()
  const failures = new Map<string, string>()
  const notes = new Set<string>()
  let silences = 0
  /** Why nothing more is asked. */
  let over: string | undefined

  const note = (text: string): void => {
    if (notes.size < maxNotes) notes.add(text.replaceAll(/\p{C}+/gu, ' ').slice(0, 256))
  }

  const fail = (key: string, why: string): undefined => {
    failures.set(key, why)
    note(why)
  }

  const ask = async (path: string, key: string): Promise<Resource | undefined> => {
    try {
      const resource = asResource(await get(path === ROOT ? `${ROOT}/` : path))
      silences = 0
      return resource ?? fail(key, `${path} is no JSON object`)
    } catch (error) {
      if (!(error instanceof AppError || error instanceof WireError)) throw error
      // More tries with a password that is refused lock accounts.
      if (error instanceof AppError && error.code === 'unauthorized') throw error
      if (asked.size <= 1) throw error
      const isSilence = error instanceof AppError && (error.code === 'unreachable' || error.code === 'timeout')
      silences = isSilence ? silences + 1 : 0
      if (silences >= MAX_SILENCES) over ??= `the BMC no longer answers: the rest was not read after ${path}`
      return fail(key, `${path} cannot be read: ${withoutPrefix(error.message)}`)
    }
  }

  const read = async (path: string | undefined): Promise<Resource | undefined> => {
    const to = path === undefined ? undefined : pathOf(path)
    if (to === undefined) return undefined
    // Some BMCs write one path in different cases.
    const key = to.toLowerCase()
    const seen = asked.get(key)
    if (seen) {
      const why = failures.get(key)
      if (why !== undefined) note(why)
      return await seen
    }
    if (asked.size >= maxResources) over ??= `more than ${maxResources} resources: the rest was not read after ${to}`
    if (over !== undefined) {
      note(over)
      return undefined
    }
    const answer = ask(to, key)
    asked.set(key, answer)
    return await answer
  }

  const members = async (path: string | undefined): Promise<Resource[]> => {
    const found: Resource[] = []
    const seen = new Set<string>()
    const pages = new Set<string>()
    let next = path === undefined ? undefined : pathOf(path)
    while (next !== undefined) {
      if (pages.has(next) || pages.size >= maxPages) {
        note(`${path} does not end: it was left after ${pages.size} pages`)
        break
      }
      pages.add(next)
      const page = await read(next)
      for (const member of objectsOf(page, 'Members')) {
        const to = pathOf(member)
        const key = to?.toLowerCase()
        if (key !== undefined && seen.has(key)) continue
        if (seen.size >= maxMembers) {
          note(`${path} has more than ${maxMembers} members: the rest was not read`)
          return found
        }
        seen.add(key ?? `#${seen.size}`)
        const resource = isWhole(member) ? member : await read(to)
        if (resource) found.push(resource)
      }
      next = linksOf(page, 'Members@odata.nextLink')[0]
    }
    return found
  }

  const takeNotes = (): string[] => {
    const taken = [...notes]
    notes.clear()
    return taken
  }

  return { read, members, note, takeNotes, count: () => asked.size }
}

/** Members may come whole instead of as links (DSP0266 §7.3.1 `$expand`, and collections of old BMCs). */
function isWhole(member: Resource): boolean {
  return Object.keys(member).some((key) => !key.includes('@')) && ('Id' in member || 'Name' in member)
}

/** `Cannot GET "/redfish/v1/x" on BMC "a": why` says the path twice in a note. */
function withoutPrefix(message: string): string {
  return message.replace(/^Cannot GET "[^"]*" on BMC "[^"]*": /, '')
}
