/** The recorded Redfish services of test/packets/redfish-trees, from path to resource. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { AppError } from '../../src/base/errors.ts'
import { createTarIndexer } from '../../src/formats/tar/indexer.ts'

const FOLDER = new URL('../packets/redfish-trees/', import.meta.url)

export const TREES = [
  'cray-EX425',
  'cray-Gigabyte',
  'cray-Intel',
  'cray-OpenBMC-stock',
  'dsp2043-public-bladed',
  'dsp2043-public-cables',
  'dsp2043-public-compose-action',
  'dsp2043-public-pdu',
  'dsp2043-public-rackmount1',
  'dsp2043-public-smartnic',
  'dsp2043-public-tower',
  'hpe-ilo5-DL325',
] as const
export type TreeName = (typeof TREES)[number]

/** The bytes of every resource, by its path without a slash at the end. */
export function readTree(name: TreeName): Map<string, Buffer> {
  const tar = gunzipSync(readFileSync(new URL(`${name}.tar.gz`, FOLDER)))
  const indexer = createTarIndexer()
  indexer.push(tar)
  const resources = new Map<string, Buffer>()
  for (const { kind, path, data } of indexer.end().entries) {
    const inner = /^[^/]+(\/.*)?\/index\.json$/.exec(path)
    if (kind !== 'file' || !inner) continue
    const bytes = Buffer.concat(data.map(({ offset, length }) => tar.subarray(offset, offset + length)))
    resources.set(`/redfish/v1${inner[1] ?? ''}`, bytes)
  }
  return resources
}

/** What a BMC with this tree answers to a GET; it counts what was asked. */
export function treeGet(resources: ReadonlyMap<string, Buffer>) {
  const asked: string[] = []
  return {
    asked,
    get: async (path: string): Promise<unknown> => {
      asked.push(path)
      const bytes = resources.get(path.replace(/[/]$|\?.*$/g, ''))
      if (!bytes) throw new AppError('not_found', `Cannot GET "${path}" on BMC "tree": there is no such resource (404)`)
      return JSON.parse(bytes.toString('utf8')) as unknown
    },
  }
}

/** What a plain walk finds in each tree. */
export interface Least {
  readonly systems: readonly {
    readonly id: string
    readonly Manufacturer: string | null
    readonly Model: string | null
    readonly SerialNumber: string | null
    readonly UUID: string | null
    readonly BiosVersion: string | null
    readonly PowerState: string | null
    readonly cpu: number | null
    readonly memGiB: number | null
    readonly macs: readonly string[]
    readonly resetTypes: readonly string[] | null
    readonly boot: readonly string[] | null
    readonly bootMode: string | null
  }[]
}

export function readLeast(): Readonly<Record<TreeName, Least>> {
  return JSON.parse(readFileSync(new URL('inventory.json', FOLDER), 'utf8')) as Readonly<Record<TreeName, Least>>
}
