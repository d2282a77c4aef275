import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Container } from '../../model/container.ts'
import { shouldBootAgain } from './record.ts'

for (const { name, seen, openedAt = 100, expected } of [
  { name: 'the server was started anew and the script was not fetched', seen: {}, expected: true },
  { name: 'nothing was heard of the machine at all', seen: { stage: undefined }, expected: true },
  { name: 'it came as far as the loader', seen: { stage: 'tftp' }, expected: true },
  { name: 'it has its script', seen: { stage: 'ipxe' }, expected: false },
  { name: 'the server was there all the time', seen: {}, openedAt: 200, expected: false },
  { name: 'it was tried again already', seen: { bootedAgainAt: 150 }, expected: false },
  { name: 'no time is left', seen: { deadlineAt: 300 }, expected: false },
] as {
  name: string
  seen: Partial<Container>
  openedAt?: number
  expected: boolean
}[])
  test(`shouldBootAgain: ${name}: ${expected ? 'once more' : 'no'}`, () => {
    const times = { openedAt, serverStartedAt: 200, at: 300 }
    assert.equal(shouldBootAgain({ stage: 'dhcp', deadlineAt: 400, ...seen }, times), expected)
  })
