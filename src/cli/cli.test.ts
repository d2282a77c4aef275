/** The pure parts: durations, times, templates, tables, keys and environment files. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseEnvironmentFile } from './run/environment.ts'
import { humanDuration, humanSize, timestamp } from './output/human.ts'
import { splitReference } from './output/reference.ts'
import { formatTable, printable } from './output/table.ts'
import { parseTemplate, renderTemplate } from './output/template.ts'
import { cleanPath, parseSide, planCopy } from './copy/rules.ts'
import { CONSOLE_ESCAPES, detachFilter, parseDetachKeys, tildeFilter } from './terminal/keys.ts'
import { verbOf } from './program.ts'
import { parseDuration, parseWhen } from './when.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

test('humanDuration says what docker says', () => {
  const cases: [number, string][] = [
    [-5, 'Less than a second'],
    [999, 'Less than a second'],
    [SECOND, '1 second'],
    [59 * SECOND, '59 seconds'],
    [60 * SECOND, 'About a minute'],
    [119 * SECOND, 'About a minute'],
    [2 * MINUTE, '2 minutes'],
    [59 * MINUTE, '59 minutes'],
    [60 * MINUTE, 'About an hour'],
    [89 * MINUTE, 'About an hour'],
    [90 * MINUTE, '2 hours'],
    [47 * HOUR, '47 hours'],
    [48 * HOUR, '2 days'],
    [13 * DAY, '13 days'],
    [14 * DAY, '2 weeks'],
    [59 * DAY, '8 weeks'],
    [60 * DAY, '2 months'],
    [800 * DAY, '2 years'],
  ]
  for (const [ms, text] of cases) assert.equal(humanDuration(ms), text, String(ms))
})

test('humanSize has three digits in decimal units', () => {
  const cases: [number, string][] = [
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [999_950, '1MB'],
    [7_834_000, '7.83MB'],
    [187e6, '187MB'],
    [2.5e12, '2.5TB'],
  ]
  for (const [bytes, text] of cases) assert.equal(humanSize(bytes), text)
})

test('parseWhen reads durations, dates with and without a zone, and seconds', () => {
  const nowMs = Date.parse('2026-11-21T06:00:00Z')
  const cases: [string, number][] = [
    ['10m', nowMs - 10 * MINUTE],
    ['1h30m', nowMs - 90 * MINUTE],
    ['1.5s', nowMs - 1500],
    ['2026-11-21T05:00:00Z', nowMs - HOUR],
    ['2026-11-21T05:00:00.250+01:00', nowMs - 2 * HOUR + 250],
    ['2026-11-21T05:00', new Date(2026, 10, 21, 5).getTime()],
    ['2026-11-21', new Date(2026, 10, 21).getTime()],
    ['1700000000', 1_700_000_000_000],
    ['1700000000.5', 1_700_000_000_500],
  ]
  for (const [text, atMs] of cases) assert.equal(parseWhen(text, nowMs), atMs, text)
  for (const text of ['', 'yesterday', '10', '10x', '2026-13-01', '1h 2m', '-'])
    if (text !== '10') assert.throws(() => parseWhen(text, nowMs), /Cannot read time/, text)
  assert.equal(parseDuration('-1m'), -MINUTE)
  assert.equal(timestamp(nowMs), '2026-11-21T06:00:00.000000000Z')
})

test('templates: fields, functions, pipes and what is wrong', () => {
  const data = {
    ID: 'abc',
    State: { Code: 3, Names: ['x', 'y'] },
    Labels: { b: '2', a: '1' },
    Label: (key: string) => `<${key}>`,
  }
  const cases: [string, string][] = [
    ['{{.ID}}', 'abc'],
    ['{{.id}} {{ .State.Code }}', 'abc 3'],
    ['{{json .State}}', '{"Code":3,"Names":["x","y"]}'],
    ['{{.State.Names | json}}', '["x","y"]'],
    ['{{.State.Names}} {{.Labels}}', '[x y] map[a:1 b:2]'],
    ['{{join .State.Names ","}}', 'x,y'],
    ['{{.Label "k v"}}{{.Label `r`}}', '<k v><r>'],
    ['{{index .Labels "a"}} {{index .State.Names 1}}', '1 y'],
    ['{{upper .ID | printf}}', ''],
    ['{{truncate .ID 2}}{{len .State.Names}}', 'ab2'],
    ['a\\tb\\n{{.Missing}}', 'a\tb\n<no value>'],
    ['{{json .Missing}}', 'null'],
    ['{{"x" | upper}}', 'X'],
  ]
  for (const [text, result] of cases)
    if (result === '') assert.throws(() => parseTemplate(text), /function "printf" not defined/)
    else assert.equal(renderTemplate(parseTemplate(text), data), result, text)
  const wrong = ['{{.ID', '{{}}', '{{range .X}}', '{{.ID ]}}', '{{json}}', '{{.ID | }}', '{{"\\x"}}']
  for (const text of wrong) assert.throws(() => parseTemplate(text), { code: 'invalid' }, text)
  assert.throws(
    () => renderTemplate(parseTemplate('{{.X}}'), data, { fieldsOnly: true }),
    /no such field; there are ID/,
  )
  assert.throws(() => renderTemplate(parseTemplate('{{.ID "x"}}'), data), /only a function takes arguments/)
  assert.equal(renderTemplate(parseTemplate('{{.constructor}}{{.__proto__}}'), data), '<no value><no value>')
})

test('formatTable keeps docker widths, and wide characters in line', () => {
  assert.equal(
    formatTable([
      ['A', 'B'],
      ['日本語', 'x'],
    ]),
    'A         B\n日本語    x\n',
  )
  assert.equal(printable('a\u001b[2Jb\tc\u0085'), 'a?[2Jb\tc?')
})

test('detach keys: sequences, near misses and keys split over chunks', () => {
  const feed = (chunks: string[], keys = 'ctrl-p,ctrl-q') => {
    const filter = detachFilter(parseDetachKeys(keys))
    let out = ''
    for (const chunk of chunks) {
      const { bytes, isLeft } = filter.feed(Buffer.from(chunk))
      out += Buffer.from(bytes).toString()
      if (isLeft) return `${out}!`
    }
    return out
  }
  const cases: [string[], string][] = [
    [['ab'], 'ab'],
    [['a\u0010\u0011b'], 'a!'],
    [['a\u0010', '\u0011b'], 'a!'],
    [['\u0010x'], '\u0010x'],
    [['\u0010\u0010\u0011'], '\u0010!'],
    [['\u0010', 'a\u0011'], '\u0010a\u0011'],
  ]
  for (const [chunks, out] of cases) assert.equal(feed(chunks), out)
  assert.equal(feed(['xa'], 'x,a'), '!')
  assert.deepEqual([...parseDetachKeys('ctrl-@,ctrl-[,~')], [0, 27, 126])
  for (const text of ['ctrl-', 'ab', 'ctrl-1', ''])
    assert.throws(() => parseDetachKeys(text), /Cannot use detach keys/, text)
})

test('~. leaves at the start of a line only', () => {
  const feed = (text: string) => {
    const filter = tildeFilter()
    const out: number[] = []
    for (const byte of Buffer.from(text)) {
      const { bytes, isLeft } = filter.feed(Uint8Array.of(byte))
      out.push(...bytes)
      if (isLeft) return `${Buffer.from(out).toString()}!`
    }
    return Buffer.from(out).toString()
  }
  const cases: [string, string][] = [
    ['~.', '!'],
    ['a~.', 'a~.'],
    ['a\r~.', 'a\r!'],
    ['~~.', '~.'],
    ['~a~.', '~a~.'],
    ['~\r~.', '~\r!'],
  ]
  for (const [text, out] of cases) assert.equal(feed(text), out, JSON.stringify(text))
})

test('escapes of a console count after a newline only, in one piece or byte by byte', () => {
  const feed = (pieces: Uint8Array[]) => {
    const filter = tildeFilter(CONSOLE_ESCAPES)
    let out = ''
    for (const piece of pieces)
      for (let rest: Uint8Array | undefined = piece; rest;) {
        const keys = filter.feed(rest)
        out += Buffer.from(keys.bytes).toString()
        if (keys.escape) out += `{${keys.escape}}`
        if (keys.isLeft) return `${out}!`
        rest = keys.rest
      }
    return out
  }
  const cases: [string, string][] = [
    ['~B', '{break}'],
    ['a~B', 'a~B'],
    ['a\r~Bb~B', 'a\r{break}b~B'],
    ['~B~B~?~w~.x', '{break}{break}{help}{write}!'],
    ['\n~~B', '\n~B'],
    ['~b\r~W', '~b\r~W'],
    ['~\r~B', '~\r{break}'],
  ]
  for (const [text, out] of cases) {
    assert.equal(feed([Buffer.from(text)]), out, JSON.stringify(text))
    assert.equal(
      feed([...Buffer.from(text)].map((byte) => Uint8Array.of(byte))),
      out,
      `${JSON.stringify(text)} by bytes`,
    )
  }
})

test('environment files: comments, names without values, quotes kept, what is wrong with its line', () => {
  const read = (text: string) => parseEnvironmentFile(Buffer.from(text), 'f', { HOME: '/h' })
  assert.deepEqual(read('# c\n\n A=1=2 \nHOME\nNONE\nQ="x"\n'), ['A=1=2 ', 'HOME=/h', 'Q="x"'])
  assert.throws(() => read('A=1\n=x'), /"f", line 2: a variable has no name/)
  assert.throws(() => read('A B=1'), /line 1: variable "A B" has a blank in its name/)
  assert.throws(() => parseEnvironmentFile(Uint8Array.of(0xff), 'f', {}), /not UTF-8/)
})

test('references lose what docker assumes', () => {
  const cases: [string, string, string][] = [
    ['docker.io/library/alpine:3', 'alpine', '3'],
    ['docker.io/a/b:1', 'a/b', '1'],
    ['localhost:5000/x', 'localhost:5000/x', 'latest'],
    ['localhost:5000/x:y@sha256:1', 'localhost:5000/x', 'y'],
    ['r/x@sha256:1', 'r/x', '<none>'],
  ]
  for (const [reference, repository, tag] of cases) assert.deepEqual(splitReference(reference), { repository, tag })
})

test('paths of cp keep what their ends mean', () => {
  const cases: [string, string][] = [
    ['/a//b/../c', '/a/c'],
    ['/a/', '/a/'],
    ['/a/.', '/a/.'],
    ['/', '/'],
    ['/.', '/.'],
    ['/../..', '/'],
  ]
  for (const [path, clean] of cases) assert.equal(cleanPath(path), clean, path)
  assert.deepEqual(parseSide('web:/a:b'), { container: 'web', path: '/a:b' })
  assert.deepEqual(parseSide('./web:a'), { path: './web:a' })
  assert.deepEqual(parseSide('C'), { path: 'C' })
  const root = { path: '/', exists: true, isDirectory: true }
  assert.deepEqual(planCopy(root, { path: '/x', exists: true, isDirectory: true }), { dir: '/x', name: '.' })
})

test('verbOf passes global options by', () => {
  assert.equal(verbOf(['--host', 'unix:///x', 'ps']), 'ps')
  assert.equal(verbOf(['--host=x', 'ps', 'run']), 'ps')
  assert.equal(verbOf(['--help']), undefined)
})
