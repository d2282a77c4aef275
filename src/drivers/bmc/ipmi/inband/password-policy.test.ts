import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makePassword } from './password-policy.ts'

test('makePassword: 16 letters and digits where the maker is unknown; 20 with another character where it is known to take them', () => {
  for (const [manufacturerId, bytes, hasSpecial] of [
    [4753, 16, false],
    [674, 20, true],
    [20974, 16, true],
  ] as const) {
    const seen = new Set<string>()
    for (let n = 0; n < 300; n++) {
      const password = makePassword(manufacturerId)
      assert.equal(password.length, bytes)
      assert.match(password, /^[A-Za-z0-9][A-Za-z0-9_.+-]*$/)
      for (const needed of [/[A-Z]/, /[a-z]/, /[0-9]/]) assert.match(password, needed)
      assert.equal(/[-_.+]/.test(password), hasSpecial)
      assert.doesNotMatch(password, /(.)\1/)
      seen.add(password)
    }
    assert.equal(seen.size, 300)
  }
})
