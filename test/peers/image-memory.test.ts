/** The memory of the whole process while huge images are taken in, merged and projected (P11): docs/reference/limits.md. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { LAUNCHER_OPTIONS } from '../../src/cli/demo/place.ts'
import { writeHugeLayer } from './huge-layer.ts'

const skip = process.platform !== 'linux' && 'no /proc here'
const scratch = mkdtempSync(join(tmpdir(), 'bareboat-memory-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

/** `beside`: the megabytes that an image may take. */
const cases = [
  {
    name: '100,000 files',
    count: 100_000,
    nameOf: (n: number) => `usr/lib/python3/dist-packages/package-${n >> 5}/module_${n}.py`,
    data: 'print()',
    names: 103_130,
    beside: 150,
  },
  {
    name: '400,000 files',
    count: 400_000,
    nameOf: (n: number) => `usr/lib/python3/dist-packages/package-${n >> 5}/module_${n}.py`,
    data: 'print()',
    names: 412_505,
    beside: 300,
  },
  {
    name: 'all that the limits allow: each of 499,000 files in a directory of its own that no entry describes',
    count: 499_000,
    nameOf: (n: number) => `${'d'.repeat(70)}${String(n).padStart(7, '0')}/f`,
    data: '',
    names: 998_001,
    beside: 350,
  },
]
/** What the whole daemon stays below. */
const MOST_MB = 512

for (const { name, count, nameOf, data, names, beside } of cases)
  test(
    `${name}: taken in and projected with less than ${beside} MB beside what the program has`,
    { skip },
    async () => {
      const file = join(scratch, 'layer.tar.gz')
      await writeHugeLayer(file, count, nameOf, data)
      const result = importOnce([file])
      assert.deepEqual(result.errors, [])
      assert.equal(result.names, names)
      const { start, projected } = result.peaks
      assert.ok(projected! - start! < beside && projected! < MOST_MB, JSON.stringify(result))
    },
  )

interface Result {
  readonly names: number
  /** Megabytes that the process has had at most, up to then. */
  readonly peaks: Readonly<Record<string, number>>
  readonly errors: readonly string[]
}

/** As `./bareboat` would run it. */
function importOnce(files: readonly string[]): Result {
  const launcher = readFileSync(new URL('../../bareboat', import.meta.url), 'utf8')
  const threshold = /^export MALLOC_MMAP_THRESHOLD_="\$\{MALLOC_MMAP_THRESHOLD_:-(\d+)\}"$/m.exec(launcher)![1]!
  const directory = mkdtempSync(join(scratch, 'store-'))
  const program = join(import.meta.dirname, 'import-once.ts')
  const { status, stdout, stderr } = spawnSync(process.execPath, [...LAUNCHER_OPTIONS, program, directory, ...files], {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, MALLOC_MMAP_THRESHOLD_: threshold },
  })
  rmSync(directory, { recursive: true, force: true })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout) as Result
}
