/** Scripts for GRUB, as its own parser reads them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { agentScript, containerScript, preparingScript, waitingScript } from '../../src/services/boot/scripts.ts'
import { grubLoop, scriptText } from '../../src/services/boot/script-text.ts'

const skip = spawnSync('grub-script-check', ['--version']).error ? 'not installed: grub-common' : false

function check(script: string): { status: number | null; stderr: string } {
  return spawnSync('grub-script-check', { input: script, encoding: 'utf8' })
}

test('grub-script-check takes every script, and no broken one', { skip }, () => {
  const kernel = {
    machineName: "node's 1 (the first)",
    baseUrl: `http://10.0.0.1:8080/boot/${'A-_9'.repeat(10)}abc`,
    scriptUrl: 'http://10.0.0.1:8080/boot/waiting.ipxe?mac=52-54-00-00-00-01',
    mac: '52:54:00:00:00:01',
    kernelParams: ['console=ttyS0,115200n8', 'bareboat.roothash=00ff', 'ip=[::1]', 'a+b%c@d'],
  }
  const scripts = [
    containerScript({ ...kernel, containerName: 'brave', containerId: 'f'.repeat(64) }),
    agentScript(kernel, 'discovered'),
    preparingScript('m1', kernel.scriptUrl),
    waitingScript(['it is "rejected"; $then `nothing`', 'why: \\'], kernel.scriptUrl),
  ]
  for (const text of [...scripts.map((script) => scriptText('grub', script)), grubLoop('http://10.0.0.1:8080')]) {
    const { status, stderr } = check(text)
    assert.deepEqual([status, stderr], [0, ''], text)
  }
  assert.notEqual(check('if true; then\n').status, 0)
})
