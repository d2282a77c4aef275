import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAtx, parseMsd, parsePikvmError, parseProgressEnd } from './answers.ts'

const json = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const ok = (result: unknown) => json({ ok: true, result })

test('parseAtx: the LED is the state', () => {
  const atx = { enabled: true, busy: false, leds: { power: true, hdd: false } }
  assert.deepEqual(parseAtx(ok(atx)), { isEnabled: true, isBusy: false, isPowerLedOn: true })
  assert.throws(() => parseAtx(ok({ ...atx, leds: { power: 'yes' } })), /"power" is neither true nor false/)
  assert.throws(() => parseAtx(ok({ ...atx, leds: [] })), /leds is no object/)
  assert.throws(() => parseAtx(json({ ok: false, result: atx })), /does not say that it is ok/)
  assert.throws(() => parseAtx(json('<html>')), /not JSON/)
})

test('parseMsd: a drive with an image, one without, and a storage that is away', () => {
  const drive = { image: { name: 'a.iso', size: 5 }, connected: true, cdrom: true, rw: false }
  const storage = { images: { 'a.iso': { size: 5 }, 'b.img': { size: 6 } }, parts: {}, uploading: null }
  const msd = { enabled: true, online: true, busy: false, drive, storage }
  assert.deepEqual(parseMsd(ok(msd)), {
    isEnabled: true,
    isOnline: true,
    isBusy: false,
    drive: { image: 'a.iso', isConnected: true, isCdrom: true, isWritable: false },
    images: ['a.iso', 'b.img'],
  })
  assert.equal(parseMsd(ok({ ...msd, drive: { ...drive, image: null } })).drive?.image, undefined)
  const away = { enabled: true, online: false, busy: false, drive: null, storage: null }
  assert.deepEqual(parseMsd(ok(away)), { isEnabled: true, isOnline: false, isBusy: false, images: [] })
})

test('parsePikvmError: a class and words, or nothing', () => {
  const declined = { ok: false, result: { error: 'IsBusyError', error_msg: 'busy' } }
  assert.deepEqual(parsePikvmError(json(declined)), { name: 'IsBusyError', message: 'busy' })
  assert.equal(parsePikvmError(json('<html>')), undefined)
  assert.equal(parsePikvmError(ok({})), undefined)
})

test('parseProgressEnd: the last line counts', () => {
  const line = JSON.stringify({ ok: true, result: { image: { name: 'a', size: 2, written: 1 } } })
  const bad = JSON.stringify({ ok: false, result: { error: 'MsdError', error_msg: 'no space' } })
  assert.equal(parseProgressEnd(json(`${line}\r\n${line}\r\n`)), undefined)
  assert.deepEqual(parseProgressEnd(json(`${line}\n${bad}`)), { name: 'MsdError', message: 'no space' })
  assert.throws(() => parseProgressEnd(json(`${line}\n${line.slice(0, 20)}`)), /not JSON/)
  assert.throws(() => parseProgressEnd(json('')), /not JSON/)
})
