/** Named files put into the folders that their paths speak of, for file systems that are made of a list of files. */
import { AppError } from '../base/errors.ts'
import { sizeOf, type Extent } from './extents.ts'

export interface NamedFile {
  /** Relative, ordinary text, parts divided by `/`. */
  readonly path: string
  readonly content: readonly Extent[]
  /** Since 1970. Without it the file has the time of the whole. */
  readonly mtimeSeconds?: number
}

export interface Folder {
  /** Empty for the root. */
  readonly path: string
  readonly name: string
  readonly folders: readonly Folder[]
  readonly files: readonly FolderFile[]
}

export interface FolderFile {
  readonly path: string
  readonly name: string
  readonly sizeBytes: number
  readonly content: readonly Extent[]
  readonly mtimeSeconds?: number
}

interface Growing {
  readonly path: string
  readonly name: string
  readonly folders: Growing[]
  readonly files: FolderFile[]
  readonly byName: Map<string, Growing | 'file'>
}

/** Deeper is a mistake or an attack. */
const MAX_DEPTH = 64

/**
 * The root, with everything below it sorted by name, so that the same files give the same bytes in whatever order they come.
 * @param empty folders that are there though no file is in them
 * @throws {AppError} invalid when a path leaves the root or names nothing, comes twice, or is a file and a folder
 */
export function foldersOf(files: readonly NamedFile[], empty: readonly string[] = []): Folder {
  const root = newFolder('', '')
  for (const path of empty) folderAt(root, partsOf(path), path)
  for (const { path, content, mtimeSeconds } of files) {
    const parts = partsOf(path)
    const name = parts.pop()!
    const folder = folderAt(root, parts, path)
    if (folder.byName.has(name)) throw refused(path, 'it comes twice')
    folder.byName.set(name, 'file')
    folder.files.push({
      path,
      name,
      content,
      sizeBytes: sizeOf(content),
      ...(mtimeSeconds === undefined ? {} : { mtimeSeconds }),
    })
  }
  return sorted(root)
}

/** A folder and all that are in it, parents first. */
export function* allFolders(root: Folder): Generator<Folder> {
  yield root
  for (const folder of root.folders) yield* allFolders(folder)
}

function folderAt(root: Growing, parts: readonly string[], asked: string): Growing {
  let at = root
  for (const part of parts) {
    const there = at.byName.get(part)
    if (there === 'file') throw refused(asked, `"${part}" is a file`)
    if (there !== undefined) {
      at = there
      continue
    }
    const folder = newFolder(at.path === '' ? part : `${at.path}/${part}`, part)
    at.byName.set(part, folder)
    at.folders.push(folder)
    at = folder
  }
  return at
}

function partsOf(path: string): string[] {
  const parts = path.split('/')
  if (parts.length > MAX_DEPTH) throw refused(path, `it is more than ${MAX_DEPTH} folders deep`)
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    throw refused(path, 'its path is none below the root')
  return parts
}

function newFolder(path: string, name: string): Growing {
  return { path, name, folders: [], files: [], byName: new Map() }
}

function sorted({ path, name, folders, files }: Growing): Folder {
  return { path, name, folders: folders.map(sorted).sort(byName), files: files.sort(byName) }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1
}

function refused(path: string, why: string): AppError {
  return new AppError('invalid', `Cannot put "${path}" on the medium: ${why}`)
}
