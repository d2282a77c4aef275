import assert from 'node:assert/strict'
import { test } from 'node:test'
import { renderScript } from './script.ts'

test('renderScript renders a boot with its retry', () => {
  const script = renderScript([
    { do: 'label', label: 'again' },
    {
      do: 'kernel',
      name: 'kernel',
      url: 'http://10.0.0.1/k',
      args: ['console=ttyS0,115200', 'quiet'],
      orElse: 'failed',
    },
    { do: 'initrd', name: 'initrd', url: 'http://10.0.0.1/i', orElse: 'failed' },
    { do: 'boot', orElse: 'failed' },
    { do: 'label', label: 'failed' },
    { do: 'sleep', seconds: 5 },
    { do: 'chain', url: 'http://10.0.0.1/s?mac=52-54&retry=1', orElse: 'again' },
  ])
  assert.equal(
    script,
    `#!ipxe
:again
kernel --name kernel http://10.0.0.1/k console=ttyS0,115200 quiet || goto failed
initrd --name initrd http://10.0.0.1/i || goto failed
boot || goto failed
:failed
sleep 5
chain --replace --autofree http://10.0.0.1/s?mac=52-54&retry=1 || goto again
`,
  )
})

test('renderScript asks with the MAC of the interface that has an address', () => {
  const script = renderScript([
    { do: 'dhcp', orElse: 'failed' },
    { do: 'chain-own', url: 'http://10.0.0.1/own', orElse: 'failed' },
  ])
  const own = 'chain --replace --autofree http://10.0.0.1/own?mac=${netX/mac:hexhyp} || goto failed'
  assert.equal(script, `#!ipxe\ndhcp || goto failed\n${own}\n`)
})

test('renderScript lets no word add a statement', () => {
  for (const bad of ['a b', 'a\nshell', '${net0/mac}', 'a||shell', 'a&&shell', 'a#b', 'é', ''])
    assert.throws(() => renderScript([{ do: 'chain', url: bad }]), /Cannot put/)
  assert.equal(renderScript([{ do: 'echo', text: 'x\nshell ${a} || b' }]), '#!ipxe\necho x_shell __a_ __ b\n')
})
