/** Nodes files as PyYAML reads them, which knows YAML 1.1 and so is the strictest of those who read such a file. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { parseNodes } from '../../src/formats/nodes/nodes.ts'
import { BMCS_AND_NODES, TUTORIAL_NODES } from '../../src/formats/nodes/sample.ts'
import { serializeNodes, type NodeValue } from '../../src/formats/nodes/write.ts'

const options = { skip: existsSync('/usr/lib/python3/dist-packages/yaml') ? false : 'python3-yaml missing' }

function pyYaml(text: string): unknown {
  const program = 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)'
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', program], { input: text, encoding: 'utf8' }))
}

for (const [name, text] of Object.entries({ TUTORIAL_NODES, BMCS_AND_NODES }))
  test(`nodes file: ${name} comes out with every value that PyYAML finds in it`, options, () => {
    const { nodes } = parseNodes(text)
    const written = pyYaml(serializeNodes(nodes, 'yaml')) as { nodes?: { bmc?: string }[] }
    const expected = pyYaml(text) as typeof written
    // Either name of a BMC is its name.
    for (const node of expected.nodes ?? []) node.bmc = 'bmc01'
    assert.deepEqual(written, expected)
    assert.deepEqual(JSON.parse(serializeNodes(nodes, 'json')), expected)
  })

test('nodes file: what YAML 1.1 takes for another thing than text is text to PyYAML', options, () => {
  const words = ['no', 'on', 'Yes', '1e3', '007', '0x1f', '1_000', '2026-11-25', 'null', '1.5', 'NaN']
  const nodes = words.map((name, n): NodeValue => ({
    name,
    groups: [`${name}x`, name],
    labels: { [name]: name },
    bmc: { mac: `10:20:30:40:50:${10 + n}` },
    interfaces: [{ mac: `52:54:00:12:34:${10 + n}`, addresses: [{ name, ip: `10.0.0.${n}` }] }],
  }))
  const read = pyYaml(serializeNodes(nodes, 'yaml')) as Record<string, unknown>[]
  assert.deepEqual(
    read.map(({ name, groups, labels, bmc_mac: mac, interfaces }) => [name, groups, labels, mac, interfaces]),
    nodes.map(({ name, groups, labels, bmc, interfaces }) => [
      name,
      groups,
      labels,
      bmc!.mac,
      interfaces.map((one) => ({ mac_addr: one.mac, ip_addrs: [{ name, ip_addr: one.addresses[0]!.ip }] })),
    ]),
  )
  assert.equal(parseNodes(serializeNodes(nodes, 'yaml')).nodes.length, nodes.length, 'and to us')
})
