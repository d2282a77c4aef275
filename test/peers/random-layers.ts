/** Random layers as a container tool writes them: parents before children, each name once, links to what is there. */
import type { TarField } from '../../src/formats/tar/tar-maker.ts'
import { pax } from '../../src/formats/tar/tar-maker.ts'

type Kind = 'file' | 'directory' | 'symlink'
type State = Map<string, Kind>

/** Layers over a small space of names, so that they meet often. @param count how many; by default three to five */
export function randomLayers(seed: number, count?: number): TarField[][] {
  const random = mulberry(seed)
  const state: State = new Map([['', 'directory']])
  return Array.from({ length: count ?? 3 + random(3) }, (_, number) => layer(random, state, number))
}

function layer(random: (below: number) => number, state: State, number: number): TarField[] {
  const fields: TarField[] = number === 0 ? [directory('./', random)] : []
  const own = new Set<string>([''])
  // Whiteouts speak of lower layers, so they are drawn from the state before this layer, and stand anywhere.
  const hidden = hide(random, state)
  // A name that a whiteout lies below stays a directory: no file system diff says otherwise.
  const directories = new Set(hidden.flatMap(parentsOf))
  for (let count = 0; count < 12; count += 1) add(random, state, own, fields, directories)
  // Root's time changes with each name in it, so every layer states it last.
  for (const name of hidden) fields.splice(random(fields.length + 1), 0, { name })
  fields.push(directory('./', random))
  return fields
}

function parentsOf(path: string): string[] {
  const names = path.split('/')
  return names.slice(1).map((_, count) => names.slice(0, count + 1).join('/'))
}

function hide(random: (below: number) => number, state: State): string[] {
  const names: string[] = []
  for (let count = random(4); count > 0; count -= 1) {
    const paths = [...state.keys()].filter((path) => path !== '')
    const path = paths[random(paths.length)]
    if (path === undefined) break
    const isOpaque = state.get(path) === 'directory' && random(2) === 0
    const slash = path.lastIndexOf('/') + 1
    names.push(isOpaque ? `${path}/.wh..wh..opq` : `${path.slice(0, slash)}.wh.${path.slice(slash)}`)
    remove(state, path, !isOpaque)
  }
  return names
}

function remove(state: State, path: string, isSelf: boolean): void {
  for (const name of state.keys()) if (name.startsWith(`${path}/`) || (isSelf && name === path)) state.delete(name)
}

function add(
  random: (below: number) => number,
  state: State,
  own: Set<string>,
  fields: TarField[],
  directories: ReadonlySet<string>,
): void {
  const path = Array.from({ length: 1 + random(3) }, () => 'abcd'[random(4)]!).join('/')
  if (own.has(path)) return
  for (let slash = path.indexOf('/'); slash >= 0; slash = path.indexOf('/', slash + 1)) {
    const parent = path.slice(0, slash)
    if (own.has(parent) && state.get(parent) !== 'directory') return
    if (!own.has(parent)) put(random, state, own, fields, parent, 'directory')
  }
  if (directories.has(path)) return put(random, state, own, fields, path, 'directory')
  const kinds = ['file', 'file', 'directory', 'symlink', 'hardlink'] as const
  put(random, state, own, fields, path, kinds[random(kinds.length)]!)
}

function put(
  random: (below: number) => number,
  state: State,
  own: Set<string>,
  fields: TarField[],
  path: string,
  kind: Kind | 'hardlink',
): void {
  const targets = [...state].filter(([name, is]) => is !== 'directory' && !name.startsWith(`${path}/`) && name !== path)
  const target = targets[random(targets.length)]
  if (kind === 'hardlink' && target === undefined) return
  if (kind !== 'directory' || state.get(path) !== 'directory') remove(state, path, true)
  own.add(path)
  if (kind === 'hardlink') {
    state.set(path, target![1])
    return void fields.push({ name: path, type: '1', link: target![0] })
  }
  state.set(path, kind)
  if (kind === 'directory') return void fields.push(directory(`${path}/`, random))
  const mtime = `${random(1e9)}.${random(1e9)}`
  // Linux allows user attributes on files and directories only.
  const attribute = kind === 'file' ? { [`SCHILY.xattr.user.${'ab'[random(2)]}`]: 'value' } : undefined
  if (random(3) === 0) fields.push(pax({ mtime, ...attribute }))
  const owner = { uid: random(4096).toString(8).padStart(7, '0'), mode: `0000${6 + random(2)}${random(8)}4` }
  if (kind === 'symlink') fields.push({ ...owner, name: path, type: '2', link: `${'../'.repeat(random(3))}a/b` })
  else fields.push({ ...owner, name: path, data: `content ${random(1e6)}`.repeat(random(60)) })
}

function directory(name: string, random: (below: number) => number): TarField {
  const mtime = random(2 ** 30)
    .toString(8)
    .padStart(11, '0')
  return { name, type: '5', mode: `00007${random(8)}${random(8)}`, mtime }
}

/** Mulberry32: small, seeded, the same everywhere. */
function mulberry(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}
