import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Duplex, duplexPair } from 'node:stream'
import { afterEach, beforeEach, test } from 'node:test'
import { poll, sleep } from '../base/clock.ts'
import { openSerialHub } from './serial-hub.ts'

let dir = ''
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'serial-'))))
afterEach(() => rmSync(dir, { recursive: true }))

/** Everything that a stream has given so far. */
function gather(stream: Duplex): { text: string } {
  const seen = { text: '' }
  stream.on('data', (bytes: Buffer) => (seen.text += bytes.toString('latin1')))
  return seen
}

async function until(condition: () => boolean): Promise<void> {
  assert.ok(await poll(() => condition() || undefined, { everyMs: 5, deadlineMs: 2000 }), 'not within 2 s')
}

test('serial hub: one who comes late sees every byte once, then what comes', async () => {
  const hub = openSerialHub(join(dir, 'console.log'))
  const [line, guest] = duplexPair()
  hub.plug(line)
  guest.write('SeaBIOS\r\n')
  const [viewer, mine] = duplexPair()
  await until(() => readFileSync(join(dir, 'console.log'), 'latin1') === 'SeaBIOS\r\n')
  guest.write('i')
  hub.attach(viewer, 0)
  const seen = gather(mine)
  guest.write('PXE')
  await until(() => seen.text === 'SeaBIOS\r\niPXE')
  const [second, other] = duplexPair()
  hub.attach(second)
  const seenByOther = gather(other)
  guest.write(' boots')
  await until(() => seenByOther.text === ' boots')
  assert.equal(seen.text, 'SeaBIOS\r\niPXE boots')
  hub.close()
})

test('serial hub: viewers stay while the machine goes off and comes back; what they type reaches it', async () => {
  const hub = openSerialHub(join(dir, 'console.log'))
  const [viewer, mine] = duplexPair()
  hub.attach(viewer, 0)
  const seen = gather(mine)
  mine.write('nobody hears this')
  await sleep(20)
  const [line, guest] = duplexPair()
  hub.plug(line)
  const typed = gather(guest)
  guest.write('one ')
  await until(() => seen.text === 'one ')
  mine.write('ls\r')
  await until(() => typed.text === 'ls\r')
  line.destroy()
  const [nextLine, nextGuest] = duplexPair()
  hub.plug(nextLine)
  nextGuest.write('two')
  await until(() => seen.text === 'one two')
  hub.close()
})

test('serial hub: a record that grows too long begins anew and keeps the part before', async () => {
  const file = join(dir, 'console.log')
  const hub = openSerialHub(file, 100)
  const [line, guest] = duplexPair()
  hub.plug(line)
  guest.write('a'.repeat(101))
  await until(() => existsSync(`${file}.1`) && readFileSync(file, 'latin1') === '')
  guest.write('b')
  await until(() => readFileSync(file, 'latin1') === 'b')
  assert.equal(readFileSync(`${file}.1`, 'latin1').length, 101)
  hub.close()
})

test('serial hub: a viewer that does not read costs little, holds nobody up, and gets everything later', async () => {
  const hub = openSerialHub(join(dir, 'console.log'))
  const [line, guest] = duplexPair()
  hub.plug(line)
  const [slow, slowReader] = duplexPair()
  const [viewer, mine] = duplexPair()
  hub.attach(slow)
  hub.attach(viewer)
  const seen = gather(mine)
  for (let i = 0; i < 6; i++) {
    guest.write(Buffer.alloc(1024 * 1024, String(i)))
    await until(() => seen.text.length === (i + 1) * 1024 * 1024)
  }
  assert.ok(slow.writableLength < 1024 * 1024)
  const late = gather(slowReader)
  await until(() => late.text.length === seen.text.length)
  assert.ok(late.text === seen.text)
  hub.close()
})
