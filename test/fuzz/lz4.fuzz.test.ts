import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseChallenges } from '../../src/wire/http/challenge.ts'
import { createLz4Decoder } from '../../src/formats/lz4/frame.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_121)
const INPUTS = 100_000

/** Frames that lz4 1.9.4 wrote. */
const frames = [
  // lz4
  'BCJNGGRAp10AAAD/BXRoZSBxdWljayBicm93biBmb3ggFAD///vwMQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8AAAAAFLyBgw==',
  // lz4 -B4 -BX
  'BCJNGHRAvV0AAAD/BXRoZSBxdWljayBicm93biBmb3ggFAD///vwMQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8Vb857AAAAABS8gYM=',
  // lz4 --no-frame-crc
  'BCJNGGBAgl0AAAD/BXRoZSBxdWljayBicm93biBmb3ggFAD///vwMQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8AAAAA',
  // lz4 -l
  'AiFMGF0AAAD/BXRoZSBxdWljayBicm93biBmb3ggFAD///vwMQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=',
  // lz4 -B4 -BD of 140,000 times a
  'BCJNGERAXgsBAAAfYQEA/////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////+dQYWFhYWELAQAAH2EBAP/////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////////nUGFhYWFhLQAAAB9hAQD/////////////////////////////////////////////6VBhYWFhYQAAAAC40yG6',
].map((text) => Uint8Array.from(Buffer.from(text, 'base64')))

/** Most bytes that one input may become: a match length grows by 255 with each byte that says so. */
const MAX_GROWTH = 256

test(`lz4: ${INPUTS} inputs, seed ${SEED}: bytes or a WireError, bounded`, () => {
  const random = randomFrom(SEED)
  let read = 0
  let refused = 0
  for (let i = 0; i < INPUTS; i++) {
    const input = mutate(frames, random)
    const decoder = createLz4Decoder()
    const step = 1 + Math.floor(random() * input.length)
    let plainBytes = 0
    try {
      for (let at = 0; at < input.length; at += step)
        for (const part of decoder.push(input.subarray(at, at + step))) plainBytes += part.length
      decoder.end()
      read++
    } catch (error) {
      assert.ok(error instanceof WireError, `input ${Buffer.from(input).toString('hex')}: ${String(error)}`)
      refused++
    }
    assert.ok(plainBytes <= input.length * MAX_GROWTH)
  }
  assert.ok(read > 100 && refused > 50_000, `${read} read, ${refused} refused`)
})

const headers = [
  'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"',
  'Basic realm="Registry Realm", charset="UTF-8"',
  'Negotiate, Digest realm="a\\"b", nonce=x , Bearer realm=y',
].map((text) => new Uint8Array(Buffer.from(text, 'latin1')))

test(`challenges: ${INPUTS} headers, seed ${SEED}: always a list, in short time`, () => {
  const random = randomFrom(SEED)
  for (let i = 0; i < INPUTS; i++) {
    const text = Buffer.from(mutate(headers, random)).toString('latin1')
    for (const { scheme, parameters } of parseChallenges(text)) {
      assert.match(scheme, /^[!-~]+$/)
      assert.ok(parameters.size <= text.length)
    }
  }
  const startedMs = performance.now()
  for (const text of ['"', ' ', ',', 'a=', 'a="\\', 'a ', '=']) parseChallenges(text.repeat(1_000_000))
  assert.ok(performance.now() - startedMs < 10_000)
})
