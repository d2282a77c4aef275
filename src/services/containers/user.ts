/** Who a workload runs as: docker's reading of USER against the image's own /etc/passwd and /etc/group (passwd(5), group(5)). */
import { AppError } from '../../base/errors.ts'

export interface UserIds {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups. The primary one is among them, so that a set-group-ID program cannot drop it (CVE-2022-36109). */
  readonly groups: readonly number[]
  readonly home: string
}

interface PasswdLine {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

interface GroupLine {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

const MAX_ID = 2 ** 32 - 2

/**
 * Resolves `NAME|UID[:GROUP|GID]`; empty means root. A number needs no entry; a name does.
 * @param read the text of a file of the image, undefined where there is none
 * @throws {AppError} invalid when a name has no entry
 */
export async function resolveUser(spec: string, read: (path: string) => Promise<string | undefined>): Promise<UserIds> {
  const [user, group] = splitSpec(spec === '' ? '0' : spec)
  const passwd = parsePasswd((await read('/etc/passwd')) ?? '')
  const groups = parseGroup((await read('/etc/group')) ?? '')
  const id = asId(user)
  const line = passwd.find((entry) => entry.name === user) ?? passwd.find((entry) => entry.uid === id)
  if (line === undefined && id === undefined)
    throw new AppError('invalid', `Cannot run as user "${user}": no matching entry in the image's /etc/passwd`)
  const uid = line?.uid ?? id!
  const home = line?.home || '/'
  if (group !== undefined) {
    const gid = groupId(group, groups)
    return { uid, gid, groups: [gid], home }
  }
  const gid = line?.gid ?? 0
  const member = line === undefined ? [] : groups.filter((entry) => entry.members.includes(line.name))
  return { uid, gid, home, groups: [...new Set([gid, ...member.map((entry) => entry.gid)])] }
}

function splitSpec(spec: string): [string, string?] {
  const at = spec.indexOf(':')
  return at < 0 ? [spec] : [spec.slice(0, at) || '0', spec.slice(at + 1)]
}

function groupId(group: string, groups: readonly GroupLine[]): number {
  const id = groups.find((entry) => entry.name === group)?.gid ?? asId(group)
  if (id === undefined)
    throw new AppError('invalid', `Cannot run with group "${group}": no matching entry in the image's /etc/group`)
  return id
}

function asId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined
}

function parsePasswd(text: string): PasswdLine[] {
  return lines(text).flatMap((fields) => {
    const [name, , uid, gid, , home] = fields
    const ids = [asId(uid ?? ''), asId(gid ?? '')] as const
    return name && ids[0] !== undefined && ids[1] !== undefined
      ? [{ name, uid: ids[0], gid: ids[1], home: home ?? '/' }]
      : []
  })
}

function parseGroup(text: string): GroupLine[] {
  return lines(text).flatMap(([name, , gid, members]) => {
    const id = asId(gid ?? '')
    return name && id !== undefined
      ? [{ name, gid: id, members: (members ?? '').split(',').filter((member) => member !== '') }]
      : []
  })
}

function lines(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}
