import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { describeExchange, parseRecording, serializeRecording } from '../../src/formats/bmc-recording/recording.ts'
import { createMask, maskExchange } from '../../src/formats/bmc-recording/mask.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = 623
const ROUNDS = 40_000

const sample = serializeRecording({
  header: { protocol: 'ipmi', operation: 'cycle', at: 1_790_000_000_000, release: '0.1.0' },
  exchanges: [
    { is: 'ipmi-session', ms: 1, tookMs: 4, suite: 17, privilege: 'administrator' },
    {
      is: 'ipmi',
      ms: 5,
      tookMs: 1,
      name: 'Get Chassis Status',
      netFn: 0,
      command: 1,
      data: '',
      completion: 0,
      answer: '610000',
    },
    { is: 'ipmi', ms: 6, tookMs: 3000, name: 'Chassis Control', netFn: 0, command: 2, data: '00' },
    {
      is: 'http',
      ms: 7,
      tookMs: 8,
      method: 'GET',
      path: '/redfish/v1',
      headers: { accept: '*/*' },
      status: 200,
      answer: '{}',
    },
    {
      is: 'http',
      ms: 7,
      tookMs: 8,
      method: 'GET',
      path: '/',
      headers: {},
      error: { code: 'timeout', message: 'late' },
    },
  ],
  outcome: { is: 'outcome', ms: 9, error: { code: 'timeout', message: 'it still says "on"' } },
})

test(`BMC recordings: ${ROUNDS} mutated ones (seed ${SEED}) give a recording or a WireError`, () => {
  const random = randomFrom(SEED)
  const samples = [new TextEncoder().encode(sample)]
  const mask = createMask(['password'])
  let values = 0
  for (let n = 0; n < ROUNDS; n++) {
    const text = Buffer.from(mutate(samples, random)).toString('utf8')
    try {
      const recording = parseRecording(text)
      for (const exchange of recording.exchanges) describeExchange(maskExchange(exchange, mask))
      assert.deepEqual(parseRecording(serializeRecording(recording)), recording)
      values++
    } catch (error) {
      if (!(error instanceof WireError)) throw new Error(`input ${JSON.stringify(text)}`, { cause: error })
    }
  }
  assert.ok(values > ROUNDS / 100, `only ${values} inputs were well-formed`)
})
