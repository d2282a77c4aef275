import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseChallenges } from '../../src/wire/http/challenge.ts'
import { digestAuthorization, digestChallengeOf } from '../../src/wire/http/digest.ts'
import { parseAmtPower, parseInstance, parseReturnValue } from '../../src/wire/wsman/amt.ts'
import { parseWsmanAnswer } from '../../src/wire/wsman/envelope.ts'
import { escapeXml, parseXml, type XmlElement } from '../../src/wire/wsman/xml.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 16_992
const ROUNDS = 110_000
const PACKETS = join(import.meta.dirname, '../packets/wsman')

const envelope = (body: string) =>
  `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>${body}</s:Body></s:Envelope>`
const small = [
  '<a b="c&amp;"><!-- d --><e xmlns="f">&#65;<![CDATA[g]]></e></a>',
  envelope('<R_OUTPUT><ReturnValue>0</ReturnValue></R_OUTPUT>'),
  envelope('<CIM_AssociatedPowerManagementService><PowerState>2</PowerState></CIM_AssociatedPowerManagementService>'),
]
const recorded = readdirSync(PACKETS).filter((name) => name.endsWith('.xml'))
// Small ones more often: what is changed in them is more likely to matter.
const samples = [
  ...[...small, ...small, ...small].map((text) => new TextEncoder().encode(text)),
  ...recorded.map((name) => Uint8Array.from(readFileSync(join(PACKETS, name)))),
]

test(`wsman: ${ROUNDS} mutated documents (seed ${SEED}) give a value or a WireError, and trees survive a round trip`, () => {
  const random = randomFrom(SEED)
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const bytes = mutate(samples, random)
    try {
      const tree = parseXml(bytes)
      values++
      if (n % 8 === 0) assert.deepEqual(parseXml(new TextEncoder().encode(written(tree))), tree)
      const answer = parseWsmanAnswer(bytes)
      if (answer.kind === 'fault') continue
      const { body } = answer
      const read = [parseAmtPower, (one: XmlElement) => parseReturnValue(one, 'R'), parseInstance]
      parseInstance(body, body.name)
      read[n % 2]!(body, '')
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${bytes.toHex()}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 20, `only ${values} inputs were well-formed`)
})

test(`digest: ${ROUNDS} mutated challenges (seed ${SEED}) are understood or not, and answered in one line`, () => {
  const random = randomFrom(SEED)
  const headers = ['Digest realm="r", nonce="n", stale="true", qop="auth,auth-int", algorithm=SHA-256, opaque="o"']
  const texts = headers.map((text) => new TextEncoder().encode(text))
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const text = Buffer.from(mutate(texts, random)).toString('latin1')
    const challenge = digestChallengeOf(parseChallenges(text))
    if (!challenge) continue
    values++
    const request = { method: 'POST', uri: '/', user: 'u', password: 'p', nonceCount: 1, clientNonce: 'c' }
    assert.match(digestAuthorization(challenge, request), /^[ -~]+$/)
  }
  assert.ok(values > ROUNDS / 20, `only ${values} challenges were understood`)
})

/** A tree as text: each element says its namespace. */
function written({ namespace, name, attributes, children, text }: XmlElement): string {
  const all = [...attributes].map(([key, value]) => ` ${key}="${escapeXml(value)}"`).join('')
  return `<${name} xmlns="${escapeXml(namespace)}"${all}>${escapeXml(text)}${children.map(written).join('')}</${name}>`
}
