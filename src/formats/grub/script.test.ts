import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderGrub } from './script.ts'

test('renderGrub renders a loop that asks, and what it is told', () => {
  const script = renderGrub([
    { do: 'insmod', name: 'http' },
    {
      do: 'forever',
      block: [
        { do: 'set', name: 'wait', value: 3 },
        { do: 'source-own', url: 'http://10.0.0.1:8080/own', orElse: [{ do: 'echo', text: 'no answer' }] },
        { do: 'sleep-for', name: 'wait' },
      ],
    },
  ])
  assert.equal(
    script,
    `insmod http
while true; do
set wait="3"
if ! source "(http,10.0.0.1:8080)/own?mac=$net_default_mac"; then
echo "no answer"
fi
sleep $wait
done
`,
  )
})

test('renderGrub loads a kernel only to start it', () => {
  const script = renderGrub([
    {
      do: 'linux',
      url: 'http://10.0.0.1/k',
      args: ['console=ttyS0,115200', 'quiet'],
      then: [{ do: 'initrd', url: 'http://10.0.0.1/i', then: [{ do: 'boot' }] }],
    },
  ])
  assert.equal(
    script,
    `if linux "(http,10.0.0.1)/k" "console=ttyS0,115200" "quiet"; then
if initrd "(http,10.0.0.1)/i"; then
boot
fi
fi
`,
  )
})

test('renderGrub lets no word add a statement or a variable', () => {
  for (const bad of ['a b', 'a\nhalt', '$root', 'a"; halt; "', 'a`b', "a'b", 'a;halt', 'a\\', 'é', '', '*'])
    assert.throws(
      () => renderGrub([{ do: 'linux', url: 'http://10.0.0.1/k', args: [bad], then: [] }]),
      /Cannot put/,
      bad,
    )
  for (const bad of [
    'https://10.0.0.1/',
    'http://[fe80::1]/',
    'http://host/',
    'http://10.0.0.1',
    'http://10.0.0.1/a"b',
  ])
    assert.throws(() => renderGrub([{ do: 'initrd', url: bad, then: [] }]), /Cannot put/, bad)
  assert.throws(() => renderGrub([{ do: 'insmod', name: 'a b' }]), /Cannot use "a b" as a name/)
  assert.equal(renderGrub([{ do: 'echo', text: 'x\nhalt "$a` \\' }]), 'echo "x_halt __a_ _"\n')
})
