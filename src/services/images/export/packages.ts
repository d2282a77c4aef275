/**
 * The packages of an image's system, as metal-stack's `packages.txt` has them: what `dpkg -l` prints, or `apk info -v`. Read from
 * the database in the tree; nothing of the image is run.
 */
import { WireError } from '../../../base/errors.ts'
import { parseStanzas, type Stanza } from '../../../formats/deb/control.ts'
import { fileExtents, type Tree } from '../../../formats/tree/tree.ts'
import type { BlobStore } from '../ports.ts'

/** A database of packages of all of Debian main stable is about 80 MB. */
const DATABASE_BYTES = 128 << 20

type Blobs = Pick<BlobStore, 'readExtents'>

/** @returns undefined where the tree has no database that is known, or it cannot be read */
export async function packageList(tree: Tree, blobs: Blobs): Promise<string | undefined> {
  try {
    const status = await dpkgStatus(tree, blobs)
    if (status !== '') return dpkgList(parseStanzas(status))
    const installed =
      (await textOf(tree, 'lib/apk/db/installed', blobs)) ?? (await textOf(tree, 'usr/lib/apk/db/installed', blobs))
    return installed === undefined ? undefined : apkList(installed)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

/** `status`, and `status.d/*`, which images without a package manager have (distroless). */
async function dpkgStatus(tree: Tree, blobs: Blobs): Promise<string> {
  const parts = [(await textOf(tree, 'var/lib/dpkg/status', blobs)) ?? '']
  const directory = tree.resolve('var/lib/dpkg/status.d')
  for (const { path, kind } of directory === undefined ? [] : tree.children(directory.path))
    if (kind === 'file' && !path.endsWith('.md5sums')) parts.push((await textOf(tree, path, blobs)) ?? '')
  return parts.filter((text) => text.trim() !== '').join('\n\n')
}

const WANTED: Readonly<Record<string, string>> = { unknown: 'u', install: 'i', hold: 'h', deinstall: 'r', purge: 'p' }
const STATES: Readonly<Record<string, string>> = {
  'not-installed': 'n',
  'config-files': 'c',
  'half-installed': 'H',
  unpacked: 'U',
  'half-configured': 'F',
  'triggers-awaited': 'W',
  'triggers-pending': 't',
  installed: 'i',
}
const HEAD = [
  'Desired=Unknown/Install/Remove/Purge/Hold',
  '| Status=Not/Inst/Conf-files/Unpacked/halF-conf/Half-inst/trig-aWait/Trig-pend',
  '|/ Err?=(none)/Reinst-required (Status,Err: uppercase=bad)',
]

/** As `dpkg -l` writes into a file. */
export function dpkgList(stanzas: readonly Stanza[]): string {
  const rows = stanzas
    .map(dpkgRow)
    .filter((row) => row !== undefined)
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  const width = (title: 'name' | 'version' | 'arch' | 'summary', least: number): number =>
    rows.reduce((most, row) => Math.max(most, Buffer.byteLength(row[title])), least)
  const widths = [width('name', 14), width('version', 12), width('arch', 12), width('summary', 33)] as const
  const line = (flags: string, name: string, version: string, arch: string, summary: string): string =>
    `${flags} ${pad(name, widths[0])} ${pad(version, widths[1])} ${pad(arch, widths[2])} ${summary}`
  const rule = `+++-${widths.map((length) => '='.repeat(length)).join('-')}`
  const titles = line('||/', 'Name', 'Version', 'Architecture', 'Description')
  const list = rows.map(({ flags, name, version, arch, summary }) => line(flags, name, version, arch, summary))
  return `${[...HEAD, titles, rule, ...list].join('\n')}\n`
}

function dpkgRow(stanza: Stanza) {
  const field = (name: string): string => stanza.get(name) ?? ''
  const [wanted = '', error = '', state = ''] = (stanza.get('status') ?? 'install ok installed').split(' ')
  if (state === 'not-installed' || field('package') === '') return undefined
  const flags = `${WANTED[wanted] ?? 'u'}${STATES[state] ?? 'n'}${error === 'reinstreq' ? 'R' : ' '}`
  const isOfMany = field('multi-arch') === 'same'
  return {
    flags,
    key: `${field('package')} ${field('architecture')}`,
    name: isOfMany ? `${field('package')}:${field('architecture')}` : field('package'),
    version: field('version'),
    arch: field('architecture'),
    summary: field('description').split('\n', 1)[0]!,
  }
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - Buffer.byteLength(text)))
}

/** `NAME-VERSION` of each, in the order of the names. */
export function apkList(installed: string): string {
  const lines: string[] = []
  for (const paragraph of installed.split('\n\n')) {
    const name = /^P:(.*)$/m.exec(paragraph)?.[1]
    const version = /^V:(.*)$/m.exec(paragraph)?.[1]
    if (name !== undefined && version !== undefined) lines.push(`${name}-${version}\n`)
  }
  return lines.sort().join('')
}

async function textOf(tree: Tree, path: string, blobs: Blobs): Promise<string | undefined> {
  const entry = tree.resolve(path)
  if (entry?.kind !== 'file' || entry.size > DATABASE_BYTES) return undefined
  const parts: Uint8Array[] = []
  for await (const part of blobs.readExtents(fileExtents(entry), 0, entry.size)) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}
