/** A recording by strace of what a program did to files below one directory, played into a model of a disk call by call. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { basename, dirname, relative, resolve, sep } from 'node:path'
import { ModelDirectory, ModelFile } from './disk-model.ts'

/** How strace has to be called, before the program. Strings in hexadecimal and whole, or nothing could be played back. */
export function recorder(logPath: string): [string, ...string[]] {
  const names = ['openat', 'creat', 'close', 'dup', 'dup2', 'dup3', 'lseek', ...WRITES, ...SYNCS, ...NAMES, ...UNKNOWN]
  const how = ['--seccomp-bpf', '-f', '-qq', '-xx', '-s', '16777216']
  return ['strace', ...how, '-o', logPath, '-e', `trace=${names.join(',')}`]
}

const WRITES = ['write', 'pwrite64', 'writev', 'pwritev', 'ftruncate']
const SYNCS = ['fsync', 'fdatasync']
const NAMES = ['rename', 'renameat', 'renameat2', 'link', 'linkat', 'unlink', 'unlinkat', 'mkdir', 'mkdirat', 'rmdir']
/** What would change files unseen; a program that does it to ours cannot be judged. */
const UNKNOWN = ['open', 'truncate', 'fallocate', 'copy_file_range', 'sendfile', 'symlink', 'symlinkat', 'pwritev2']

interface Call {
  readonly name: string
  readonly words: readonly string[]
  readonly result: number
}

/** Something that happens at one line of the log: a call begins, or has ended. */
interface Moment {
  readonly begins?: Call
  readonly ends?: Call
}

export interface Recording {
  /** How often the disk changes, or something is said; asking plays it. */
  readonly length: number
  /**
   * Plays the recording from its begin.
   * @param atChange called after each change with its number, from 0 on
   * @param hear told, in order, what goes to what is no file below the root: pipes, sockets; as it begins to be written
   */
  play(atChange: (change: number, disk: ModelDirectory) => void, hear: (bytes: Buffer, fd: number) => void): void
}

/** @param root the directory that is looked at; it is there, and empty, when the program begins */
export function readRecording(logPath: string, root: string): Recording {
  const moments = readMoments(readFileSync(logPath, 'latin1'))
  const play: Recording['play'] = (atChange, hear) => {
    const player = new Player(root, hear)
    let change = 0
    for (const { begins, ends } of moments) {
      const before = player.changes
      if (begins) player.begin(begins)
      if (ends) player.end(ends)
      if (player.changes > before) atChange(change++, player.disk)
    }
  }
  return {
    play,
    get length() {
      let length = 0
      play(
        () => length++,
        () => {},
      )
      return length
    },
  }
}

function readMoments(log: string): Moment[] {
  const moments: Moment[] = []
  const open = new Map<string, { name: string; start: string; call: { -readonly [K in keyof Call]: Call[K] } }>()
  for (const line of log.split('\n')) {
    const match = /^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$/.exec(line)
    if (!match) continue
    const [, thread, resumed, called, rest] = match as unknown as [
      string,
      string,
      string | undefined,
      string | undefined,
      string,
    ]
    if (called !== undefined && rest.endsWith(' <unfinished ...>')) {
      const start = rest.slice(0, -' <unfinished ...>'.length)
      const call = { name: called, words: wordsOf(start), result: 0 }
      open.set(thread, { name: called, start, call })
      moments.push({ begins: call })
      continue
    }
    const end = /^(.*)\) += (-?\d+|\?)/.exec(rest)
    if (!end) continue
    const result = end[2] === '?' ? -1 : Number(end[2])
    if (called !== undefined) {
      const call = { name: called, words: wordsOf(end[1]!), result }
      moments.push({ begins: call, ends: call })
      continue
    }
    const begun = open.get(thread)
    assert.equal(begun?.name, resumed)
    open.delete(thread)
    begun!.call.result = result
    moments.push({ ends: { ...begun!.call, words: wordsOf(begun!.start + end[1]!), result } })
  }
  return moments
}

/** The arguments; those with several parts, such as the pieces of `writev`, stay one word. */
function wordsOf(text: string): string[] {
  return text.match(/\[[^\]]*\]|"[^"]*"(?:\.\.\.)?|[^, ]+/g) ?? []
}

/** The bytes of all strings in a word. */
function bytesOf(word: string): Buffer {
  assert.ok(!word.includes('"...'), 'strace cut a string short')
  const strings = word.match(/"[^"]*"/g) ?? []
  return Buffer.from(strings.map((string) => string.slice(1, -1).replaceAll('\\x', '')).join(''), 'hex')
}

interface OpenFile {
  readonly node: ModelFile | ModelDirectory
  readonly appends: boolean
  at: number
}

class Player {
  readonly disk = new ModelDirectory()
  readonly #root: string
  readonly #hear: (bytes: Buffer, fd: number) => void
  /** How often something happened to the disk, or was said. */
  changes = 0
  readonly #files = new Map<number, OpenFile>()
  /** How many changes there were when the sync under way began. */
  readonly #syncs = new Map<string, number>()

  constructor(root: string, hear: (bytes: Buffer, fd: number) => void) {
    this.#root = root
    this.#hear = hear
  }

  begin({ name, words }: Call): void {
    const number = Number(words[0])
    const file = this.#files.get(number)
    // The number is free from here on: another thread may get it before this line's end is told.
    if (name === 'close') this.#files.delete(number)
    if (SYNCS.includes(name) && file) this.#syncs.set(`${name} ${number}`, file.node.pending)
    if (!WRITES.includes(name) || file || name === 'ftruncate') return
    this.#hear(bytesOf(words[1]!), number)
    this.changes++
  }

  end({ name, words, result }: Call): void {
    const number = Number(words[0])
    const file = this.#files.get(number)
    if (file && name !== 'lseek') this.changes++
    if (SYNCS.includes(name)) {
      const count = this.#syncs.get(`${name} ${number}`) ?? 0
      return result < 0 ? file?.node.lose(count) : file?.node.sync(count)
    }
    if (result < 0) return
    switch (name) {
      case 'openat':
        return this.#open(bytesOf(words[1]!).toString(), words[2]!, result)
      case 'lseek':
        if (file) file.at = result
        return
      case 'write':
      case 'writev':
      case 'pwrite64':
      case 'pwritev': {
        if (file?.node.kind !== 'file') return
        const bytes = bytesOf(words[1]!).subarray(0, result)
        const isAtPlace = name.startsWith('p')
        const at = isAtPlace ? Number(words.at(-1)) : file.appends ? file.node.sizeBytes : file.at
        file.node.write(at, bytes)
        if (!isAtPlace) file.at = at + result
        return
      }
      case 'ftruncate':
        if (file?.node.kind === 'file') file.node.truncate(Number(words[1]))
        return
      case 'dup':
      case 'dup2':
      case 'dup3':
        assert.ok(!file, `the recording cannot follow ${name}`)
        return
      case 'close':
        return
      default:
        return this.#rename(
          name,
          words.filter((word) => word.startsWith('"')).map((word) => bytesOf(word).toString()),
        )
    }
  }

  #open(path: string, flags: string, number: number): void {
    const at = this.#find(path)
    if (!at) return
    let node = at.directory.names.get(at.name)
    if (at.name === '') node = this.disk
    if (!node) {
      assert.match(flags, /O_CREAT/, `"${path}" was opened and is not known`)
      node = new ModelFile()
      this.changes++
      at.directory.change([at.name, node])
    }
    if (flags.includes('O_TRUNC') && node.kind === 'file') node.truncate(0)
    this.#files.set(number, { node, appends: flags.includes('O_APPEND'), at: 0 })
  }

  #rename(name: string, paths: readonly string[]): void {
    const [first, second] = paths.map((path) => this.#find(path))
    if (!first && !second) return
    this.changes++
    assert.ok(first && !UNKNOWN.includes(name), `the recording cannot follow ${name} of "${paths.join('" "')}"`)
    const node = first.directory.names.get(first.name)
    switch (name.replace(/at2?$/, '')) {
      case 'mkdir':
        return first.directory.change([first.name, new ModelDirectory()])
      case 'unlink':
      case 'rmdir':
        return first.directory.change([first.name, undefined])
      case 'link':
        return second!.directory.change([second!.name, node])
      case 'rename':
        if (first.directory === second!.directory)
          return first.directory.change([second!.name, node], [first.name, undefined])
        second!.directory.change([second!.name, node])
        return first.directory.change([first.name, undefined])
      default:
        assert.fail(`the recording cannot follow ${name}`)
    }
  }

  /** Where a path below the root leads; undefined when it is outside. */
  #find(path: string): { directory: ModelDirectory; name: string } | undefined {
    const below = relative(this.#root, resolve(path))
    if (below.startsWith('..')) return undefined
    let directory = this.disk
    for (const name of dirname(below).split(sep)) {
      if (name === '.' || name === '') continue
      const next = directory.names.get(name)
      assert.ok(next?.kind === 'directory', `"${path}" lies in no directory that is known`)
      directory = next
    }
    return { directory, name: basename(below) }
  }
}
