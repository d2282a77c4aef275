/**
 * A Debian archive by the host's apt, with a state of its own: no root, nothing of the system is read or changed, and apt checks
 * the signature of the index and the sums of what it fetches.
 */
import { createHash } from 'node:crypto'
import { mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { dependencyNames, parseStanzas, type Stanza } from '../../formats/deb/control.ts'
import type { PackageInfo, PackageSource } from '../../services/kits/ports.ts'
import { runProgram } from './program.ts'

export interface DebianArchiveOptions {
  /** Ours alone: lists, cache, fetched packages. */
  readonly stateDirectory: string
  readonly log: Log
  readonly mirror?: string
  readonly suite?: string
  readonly architecture?: string
  readonly keyring?: string
  /** The index is read again when it is older, milliseconds. */
  readonly indexMaxAgeMs?: number
}

const DAY_MS = 86_400_000
const NAME = /^[a-z0-9][a-z0-9+.-]+$/

export function createDebianArchive(options: DebianArchiveOptions): PackageSource {
  const { stateDirectory: directory, log } = options
  const { mirror = 'http://deb.debian.org/debian', suite = 'trixie', architecture = 'amd64' } = options
  const { keyring = '/usr/share/keyrings/debian-archive-keyring.gpg', indexMaxAgeMs = DAY_MS } = options
  const packages = join(directory, 'debs')
  const known = new Map<string, PackageInfo>()
  let updated: Promise<void> | undefined

  const settings = [
    ['Dir::State', join(directory, 'state')],
    ['Dir::State::lists', join(directory, 'lists')],
    ['Dir::State::status', '/dev/null'],
    ['Dir::Cache', join(directory, 'cache')],
    ['Dir::Etc', join(directory, 'etc')],
    ['Dir::Etc::sourcelist', join(directory, 'archive.sources')],
    ['Dir::Etc::sourceparts', '/dev/null'],
    ['Dir::Log', join(directory, 'log')],
    ['APT::Architecture', architecture],
    ['APT::Architectures', architecture],
    ['APT::Sandbox::User', ''],
    ['Acquire::Languages', 'none'],
    ['Acquire::Retries', '3'],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`])

  async function apt(
    program: 'apt-get' | 'apt-cache',
    args: string[],
    cwd: string,
    signal?: AbortSignal,
  ): Promise<string> {
    const bytes = await runProgram(program, [...settings, ...args], { cwd, ...(signal && { signal }) })
    return new TextDecoder().decode(bytes)
  }

  async function update(signal?: AbortSignal): Promise<void> {
    for (const name of ['state', 'lists/partial', 'cache/archives/partial', 'etc', 'log', 'debs'])
      await mkdir(join(directory, name), { recursive: true })
    const source = [
      'Types: deb',
      `URIs: ${mirror}`,
      `Suites: ${suite}`,
      'Components: main',
      `Signed-By: ${keyring}`,
      '',
    ]
    const stamp = join(directory, 'index-stamp')
    const wanted = source.join('\n')
    const ageMs = Date.now() - ((await stat(stamp).catch(orUndefined))?.mtimeMs ?? 0)
    const asked = await readFile(stamp, 'utf8').catch(orUndefined)
    if (asked === wanted && ageMs < indexMaxAgeMs) return
    await writeFile(join(directory, 'archive.sources'), wanted)
    log.info('package index fetched', { mirror, suite })
    await apt('apt-get', ['update', '-qq', '--error-on=any'], directory, signal)
    await writeFile(stamp, wanted)
  }

  return {
    async describe(names, signal) {
      for (const name of names)
        if (!NAME.test(name)) throw new AppError('invalid', `Cannot look up package "${name}": it is no package name`)
      // A failed update is tried again by the next call.
      await (updated ??= update(signal)).catch((error: unknown) => {
        updated = undefined
        throw error
      })
      const unknown = names.filter((name) => !known.has(name))
      if (unknown.length > 0) {
        const text = await apt('apt-cache', ['show', '--no-all-versions', ...unknown], directory, signal)
        for (const stanza of parseStanzas(text)) {
          const info = packageInfo(stanza)
          known.set(info.name, info)
        }
      }
      return names.map((name) => {
        const info = known.get(name)
        if (!info)
          throw new AppError('not_found', `Cannot find package "${name}": Debian ${suite} has none at ${mirror}`)
        return info
      })
    },

    async fetch(info, signal) {
      const kept = join(packages, `${info.sha256}.deb`)
      const bytes = await readFile(kept).catch(orUndefined)
      if (bytes && sha256(bytes) === info.sha256) return bytes
      const aside = join(packages, `get-${info.sha256.slice(0, 16)}`)
      await mkdir(aside, { recursive: true })
      try {
        await apt('apt-get', ['download', '-qq', `${info.name}=${info.version}`], aside, signal)
        const [file] = await readdir(aside)
        const fetched = file === undefined ? new Uint8Array() : await readFile(join(aside, file))
        if (sha256(fetched) !== info.sha256)
          throw new AppError('bad_peer', `Cannot fetch package "${info.name}": its sha256 is not the one in the index`)
        await writeFile(kept, fetched)
        return fetched
      } finally {
        await rm(aside, { recursive: true, force: true })
      }
    },
  }
}

function packageInfo(stanza: Stanza): PackageInfo {
  const field = (name: string): string => stanza.get(name) ?? ''
  return {
    name: field('package'),
    version: field('version'),
    architecture: field('architecture'),
    sha256: field('sha256'),
    sizeBytes: Number(field('size')),
    depends: dependencyNames(`${field('pre-depends')},${field('depends')}`),
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function orUndefined(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
}
