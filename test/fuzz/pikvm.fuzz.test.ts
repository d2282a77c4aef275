import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseAtx, parseMsd, parsePikvmError, parseProgressEnd } from '../../src/wire/pikvm/answers.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 8080
const ROUNDS = 110_000

const atx = { enabled: true, busy: false, leds: { power: true, hdd: false } }
const drive = { image: { name: 'a.iso' }, connected: true, cdrom: true, rw: false }
const msd = { enabled: true, online: true, busy: false, drive, storage: { images: { 'a.iso': {} } } }
const samples = [
  { ok: true, result: atx },
  { ok: true, result: msd },
  { ok: true, result: { ...msd, drive: null, storage: null } },
  { ok: false, result: { error: 'IsBusyError', error_msg: 'busy' } },
].map((value) => new TextEncoder().encode(`${JSON.stringify(value)}\n`))

test(`pikvm: ${ROUNDS} mutated answers (seed ${SEED}) give a value or a WireError`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    parsePikvmError(bytes)
    for (const parse of [parseAtx, parseMsd, parseProgressEnd])
      try {
        parse(bytes)
        values++
      } catch (error) {
        if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
      }
  }
  assert.ok(values > ROUNDS / 20, `only ${values} inputs were well-formed`)
})
