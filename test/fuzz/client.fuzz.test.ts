/** Whatever a server or a person sends: a value or a WireError / AppError, nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError, WireError } from '../../src/base/errors.ts'
import { parseMessage } from '../../src/client/channel.ts'
import { parseSide, planCopy } from '../../src/cli/copy/rules.ts'
import { parseTemplate, renderTemplate } from '../../src/cli/output/template.ts'
import { parseEnvironmentFile } from '../../src/cli/run/environment.ts'
import { parseDetachKeys } from '../../src/cli/terminal/keys.ts'
import { parseWhen } from '../../src/cli/when.ts'
import { readEvents, readNdjson } from '../../src/client/lines.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_121)
const CORPUS = [
  '\u0003{"type":"exit","code":0}',
  '\u0003{"type":"error","error":{"code":"conflict","message":"x"}}',
  '\u0001output',
  'event: event\ndata: {"id":1}\nid: 4\n\n: comment\r\ndata: a\rdata: b\n\n',
  '{"at":1,"stream":"stdout","data":"YQ=="}\n{"at":2}\n',
  'table {{.ID}}\\t{{json .Names | upper}} {{index .Labels "a"}}{{.Label `x`}}{{truncate .ID 3}}',
  '# c\nA=1\nB\nC="2"\n',
  '2026-11-21T05:00:00.5+01:00',
  '1h30m5.5s',
  'ctrl-p,ctrl-q,a',
  'web:/var/log/../x/.',
]
const DATA = { ID: 'abc', Names: ['a'], Labels: { a: '1' }, Label: (key: string) => key, N: 1, none: null }

test(`parsers of the client and the command line: 120,000 inputs, seed ${SEED}`, async () => {
  const random = randomFrom(SEED)
  const samples = CORPUS.map((text) => Buffer.from(text))
  let accepted = 0
  const check = async (parse: () => unknown) => {
    try {
      await parse()
      accepted++
    } catch (error) {
      if (!(error instanceof WireError) && !(error instanceof AppError)) throw error
    }
  }
  for (let count = 0; count < 15_000; count++) {
    const input = Buffer.from(mutate(samples, random))
    const text = input.toString('utf8')
    await check(() => parseMessage(input))
    await check(() => Array.fromAsync(readEvents(chunks(input, random))))
    await check(() => Array.fromAsync(readNdjson(chunks(input, random))))
    await check(() => renderTemplate(parseTemplate(text), DATA))
    await check(() => parseEnvironmentFile(input, 'f', {}))
    await check(() => parseWhen(text, 0))
    await check(() => parseDetachKeys(text))
    await check(() =>
      planCopy(
        { path: text, exists: true, isDirectory: count % 2 === 0 },
        { path: parseSide(text).path, exists: count % 3 === 0, isDirectory: false },
      ),
    )
  }
  assert.ok(accepted > 10_000, `only ${accepted} inputs were accepted`)
})

async function* chunks(input: Buffer, random: () => number): AsyncGenerator<Uint8Array> {
  const cut = Math.floor(random() * (input.length + 1))
  yield input.subarray(0, cut)
  yield input.subarray(cut)
}
