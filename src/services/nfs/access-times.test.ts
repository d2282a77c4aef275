import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderAccessed } from './access-times.ts'

test('renderAccessed: one ./path a line, sorted by bytes, names kept as bytes, line feeds shown', () => {
  const paths = ['etc/passwd', 'etc-x', 'a\nb', 'B', 'caf\xe9'].map((path) => Buffer.from(path, 'latin1'))
  assert.equal(
    Buffer.from(renderAccessed(paths)).toString('latin1'),
    './B\n./a\\nb\n./caf\xe9\n./etc-x\n./etc/passwd\n',
  )
  assert.equal(renderAccessed([]).length, 0)
})
