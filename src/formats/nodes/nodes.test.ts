import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { parse as parseYaml } from 'yaml'
import { parseNodes, type NodeEntry } from './nodes.ts'
import { BMCS_AND_NODES, TUTORIAL_NODES } from './sample.ts'
import { serializeNodes } from './write.ts'

const NODE01: NodeEntry = {
  line: 1,
  name: 'node01',
  nid: 1,
  xname: 'x1000c1s7b0n0',
  groups: ['compute'],
  bmc: { line: 1, mac: 'de:ca:fc:0f:ee:ee', ip: '172.16.0.101' },
  interfaces: [
    { line: 8, mac: 'de:ad:be:ee:ee:f1', addresses: [{ name: 'internal', ip: '172.16.0.1' }] },
    { line: 12, mac: 'de:ad:be:ee:ee:f2', addresses: [{ name: 'external', ip: '10.15.3.100' }] },
    { line: 16, mac: '02:00:00:91:31:b3', addresses: [{ name: 'HSN', ip: '192.168.0.1' }] },
  ],
}

/** Without lines, which differ from shape to shape. */
function plain(nodes: readonly NodeEntry[]): unknown {
  return JSON.parse(JSON.stringify(nodes, (key, value: unknown) => (key === 'line' ? undefined : value)))
}

test('parseNodes: the example of the tutorial, word by word', () => {
  assert.deepEqual(parseNodes(TUTORIAL_NODES), { nodes: [NODE01], warnings: [] })
})

const indented = TUTORIAL_NODES.replace(/^/gm, '  ').trimEnd()
const shapes = [
  { name: 'a map with nodes', text: `nodes:\n${indented}\n` },
  { name: 'JSON, a list', text: JSON.stringify(parseYaml(TUTORIAL_NODES)) },
  { name: 'JSON, a map, indented', text: JSON.stringify({ nodes: parseYaml(TUTORIAL_NODES) }, null, 2) },
  { name: 'groups for group', text: TUTORIAL_NODES.replace('group: compute', 'groups: [compute]') },
  {
    name: 'both, which are united',
    text: TUTORIAL_NODES.replace('group: compute', 'group: compute\n  groups: [compute]'),
  },
  { name: 'network for name', text: TUTORIAL_NODES.replaceAll(/- name: (?=i|e|H)/g, '- network: ') },
  { name: 'lines that end as in DOS', text: TUTORIAL_NODES.replaceAll('\n', '\r\n') },
  {
    name: 'MACs and xnames as others write them',
    text: TUTORIAL_NODES.replaceAll(/d[ec](?=:)/g, 'DE')
      .replace('DE:ca', 'DE-ca')
      .replace('x1000c1s7', 'X1000C01S007'),
  },
  {
    name: 'fields without a value are absent',
    text: TUTORIAL_NODES.replace('  group:', '  bmc_fqdn:\n  role: ~\n  group:'),
  },
]
for (const { name, text } of shapes)
  test(`parseNodes: ${name}`, () => {
    const { nodes, warnings } = parseNodes(text)
    assert.deepEqual(plain(nodes), plain([NODE01]))
    assert.deepEqual(warnings, [])
  })

test('parseNodes: bmcs and nodes, a BMC by its name and by its xname', () => {
  const { nodes, warnings } = parseNodes(BMCS_AND_NODES)
  const bmc = {
    line: 2,
    name: 'bmc01',
    xname: 'x1000c1s7b0',
    mac: 'de:ca:fc:0f:ee:ee',
    ip: '172.16.0.101',
    fqdn: 'bmc01.example',
  }
  assert.deepEqual(
    nodes.map((node) => node.bmc),
    [bmc, bmc],
  )
  assert.deepEqual(
    nodes.map(({ groups }) => groups),
    [['compute', 'slurm:batch'], undefined],
  )
  assert.deepEqual(nodes[1]!.interfaces, [{ line: 25, mac: 'de:ad:be:ee:ee:f2', addresses: [] }])
  assert.deepEqual(warnings, [])
})

test('parseNodes: a node without name is called by its xname, then by its nid', () => {
  const interfaces = (n: number) => `bmc_mac: 02:00:00:00:01:0${n}, interfaces: [{mac_addr: '02:00:00:00:00:0${n}'}]`
  const { nodes } = parseNodes(`- {xname: x1c0s0b0n0, nid: 4, ${interfaces(1)}}\n- {nid: 7, ${interfaces(2)}}`)
  assert.deepEqual(
    nodes.map(({ name }) => name),
    ['x1c0s0b0n0', 'nid7'],
  )
})

const NODE = (fields: string, mac = '02:00:00:00:00:01') =>
  `- ${fields}\n  bmc_mac: 02:01:00:00:00:${mac.slice(-2)}\n  interfaces:\n  - mac_addr: ${mac}\n`

const warned = [
  {
    name: 'an unknown field of a node',
    text: TUTORIAL_NODES.replace('  group', '  colour: red\n  group'),
    warning: [6, /a node has the unknown field "colour".*not kept.*known: .*bmc_mac/],
  },
  {
    name: 'an unknown field of an interface',
    text: TUTORIAL_NODES.replace('    ip_addrs', '    speed: 1\n    ip_addrs'),
    warning: [9, /an interface has the unknown field "speed"/],
  },
  {
    name: 'an unknown field of an address',
    text: TUTORIAL_NODES.replace('      ip_addr:', '      mask: 24\n      ip_addr:'),
    warning: [11, /an address has the unknown field "mask"/],
  },
  {
    name: 'an unknown field of the file',
    text: `version: 2\nnodes:\n${indented}`,
    warning: [1, /the file has the unknown field "version"/],
  },
  { name: 'no bmc_mac', text: TUTORIAL_NODES.replace(/ {2}bmc_mac.*\n/, ''), warning: [1, /no bmc_mac/] },
  {
    name: 'a BMC of no node',
    text: BMCS_AND_NODES.replace('nodes:', '- {name: spare, mac: 02:00:00:00:00:09}\nnodes:'),
    warning: [7, /no node refers to BMC "spare"/],
  },
  {
    name: 'an xname of another BMC',
    text: BMCS_AND_NODES.replace('b0n1', 'b1n0'),
    warning: [23, /"x1000c1s7b1n0" says that its BMC is "x1000c1s7b1", not "x1000c1s7b0"/],
  },
] as const
for (const { name, text, warning } of warned)
  test(`parseNodes: a warning with its line: ${name}`, () => {
    const { warnings } = parseNodes(text)
    assert.equal(warnings.length, 1, JSON.stringify(warnings))
    assert.equal(warnings[0]!.line, warning[0])
    assert.match(warnings[0]!.text, warning[1])
  })

const refused = [
  {
    name: 'a MAC of two nodes',
    text: NODE('name: a') + NODE('name: b').replace('02:01:00:00:00:01', '02:01:00:00:00:02'),
    error: /line 8: MAC "02:00:00:00:00:01" of node "b" is that of node "a" on line 4 already/,
  },
  {
    name: 'a MAC of two interfaces of a node',
    text: `${NODE('name: a')}  - mac_addr: 02:00:00:00:00:01\n`,
    error: /line 5: MAC .* of node "a" is that of node "a" on line 4/,
  },
  {
    name: 'a MAC of a node and of a BMC',
    text: NODE('name: a') + NODE('name: b', '02:01:00:00:00:01').replace('bmc_mac: 02:01', 'bmc_mac: 02:02'),
    error: /line 1: MAC "02:01:00:00:00:01" of the BMC of node "a" is that of node "b" on line 8/,
  },
  {
    name: 'an xname, however it is written',
    text: NODE('xname: x1000c0s0b0n0\n  name: a') + NODE('xname: X1000C0S00B0N0\n  name: b', '02:00:00:00:00:02'),
    error: /line 6: xname "x1000c0s0b0n0" of node "b" is that of node "a" on line 1/,
  },
  {
    name: 'a nid',
    text: NODE('nid: 1\n  name: a') + NODE('nid: 01\n  name: b', '02:00:00:00:00:02'),
    error: /line 6: nid "1" of node "b" is that of node "a" on line 1/,
  },
  {
    name: 'a name',
    text: NODE('name: a') + NODE('name: a', '02:00:00:00:00:02'),
    error: /line 5: name "a" of node "a"/,
  },
  {
    name: 'an address',
    text: (NODE('name: a') + NODE('name: b', '02:00:00:00:00:02')).replaceAll(
      /(- mac_addr.*)/g,
      '$1\n    ip_addrs: [{ip_addr: 10.0.0.1}]',
    ),
    error: /line 9: address "10.0.0.1" of node "b" is that of node "a" on line 4/,
  },
  {
    name: 'a BMC with two addresses',
    text: (NODE('name: a') + NODE('name: b', '02:00:00:00:00:02')).replaceAll(
      /bmc_mac: .*:0(\d)/g,
      'bmc_mac: 02:01:00:00:00:01\n  bmc_ip: 10.0.0.$1',
    ),
    error: /line 6: the BMC "02:01:00:00:00:01" has the ip "10.0.0.2", but "10.0.0.1" on line 1/,
  },
  {
    name: 'an xname of neither kind',
    text: NODE('xname: x10c8s0b0n0'),
    error: /line 1: xname "x10c8s0b0n0" is not the xname of a node, such as x1000c1s7b0n0/,
  },
  {
    name: 'the xname of a BMC for a node',
    text: NODE('xname: x1000c1s7b0'),
    error: /line 1: xname "x1000c1s7b0" is not the xname of a node/,
  },
  {
    name: 'a MAC that is none',
    text: NODE('name: a', '02:00:00:00:00:0g'),
    error: /line 4: mac_addr "02:00:00:00:00:0g" is not the MAC address/,
  },
  {
    name: 'the MAC of a group',
    text: NODE('name: a', '01:00:00:00:00:01'),
    error: /line 4: mac_addr .* is not the MAC address of one network card/,
  },
  {
    name: 'an address that is none',
    text: TUTORIAL_NODES.replace('10.15.3.100', '10.15.3.300'),
    error: /line 15: ip_addr "10.15.3.300" is not an IP address/,
  },
  { name: 'a nid that is no number', text: NODE('nid: one'), error: /line 1: nid "one" is not a whole number/ },
  {
    name: 'a nid that no double holds',
    text: NODE('nid: 9007199254740993'),
    error: /nid "9007199254740993" is not a whole number/,
  },
  { name: 'a name with a space', text: NODE('name: node 1'), error: /line 1: name "node 1" is not a name/ },
  { name: 'no identity', text: NODE('group: a'), error: /line 1: a node has neither name nor xname nor nid/ },
  {
    name: 'no interface',
    text: '- name: a\n  bmc_mac: 02:01:00:00:00:01\n',
    error: /line 1: node "a" has no interface/,
  },
  {
    name: 'an interface without MAC',
    text: '- name: a\n  interfaces:\n  - ip_addrs: []\n',
    error: /line 3: an interface has no mac_addr/,
  },
  {
    name: 'a reference to no BMC',
    text: BMCS_AND_NODES.replace('bmc: bmc01', 'bmc: bmc02'),
    error: /line 11: bmc "bmc02" is none of the file's bmcs/,
  },
  {
    name: 'a reference beside the BMC itself',
    text: BMCS_AND_NODES.replace('bmc: bmc01', 'bmc: bmc01\n  bmc_ip: 10.0.0.9'),
    error: /line 11: bmc "bmc01" and bmc_mac, bmc_ip or bmc_fqdn exclude each other/,
  },
  {
    name: 'a BMC twice',
    text: BMCS_AND_NODES.replace('nodes:', '- name: bmc01\nnodes:'),
    error: /line 7: BMC "bmc01" is there already on line 2/,
  },
  { name: 'a field twice', text: NODE('name: a\n  name: b'), error: /line 2: "name" is said already on line 1/ },
  { name: 'an alias', text: '- &a {name: a}\n- *a\n', error: /line 2: the alias "\*a" is not read here/ },
  { name: 'a word', text: 'nodes', error: /line 1: there is neither a list of nodes/ },
  { name: 'nothing', text: '', error: /line 1: there is neither a list of nodes/ },
  { name: 'a map without nodes', text: 'bmcs: []\n', error: /line 1: there is no list "nodes"/ },
  { name: 'nodes that are no list', text: 'nodes: {a: 1}\n', error: /line 1: nodes is not a list/ },
  { name: 'a node that is a word', text: '- a\n', error: /line 1: a node is not a map of fields/ },
  { name: 'broken YAML', text: '- name: a\n  nid: [1\n- b\n', error: /Cannot read nodes file: line [23]: / },
  { name: 'two documents', text: '- name: a\n---\n- name: b\n', error: /line 2: .*multiple documents/ },
  { name: 'values inside of values', text: '['.repeat(100_000), error: /Cannot read nodes file: line 1/ },
  {
    name: 'depth that fits, but is too deep',
    text: `${'- '.repeat(40)}a`,
    error: /line 1: values are nested deeper than 16/,
  },
  { name: 'too much', text: ' '.repeat((4 << 20) + 1), error: /it is over 4194304 bytes/ },
]
for (const { name, text, error } of refused)
  test(`parseNodes refuses ${name}`, () => {
    assert.throws(
      () => parseNodes(text),
      (thrown) => thrown instanceof WireError && error.test(thrown.message),
    )
  })

test('parseNodes names all that is wrong, in the order of the lines', () => {
  const text = NODE('name: a', '02:00:00:00:00:zz') + NODE('nid: x', '02:00:00:00:00:01')
  assert.throws(() => parseNodes(text), /line 4: mac_addr [^]*\n {2}line 5: nid "x" is not/)
})

for (const [name, text] of Object.entries({ TUTORIAL_NODES, BMCS_AND_NODES }))
  for (const format of ['yaml', 'json'] as const)
    test(`serializeNodes writes ${name} as ${format} that reads back the same`, () => {
      const { nodes } = parseNodes(text)
      const again = parseNodes(serializeNodes(nodes, format))
      assert.deepEqual(plain(again.nodes), plain(nodes))
      assert.deepEqual(again.warnings, [])
    })

test('serializeNodes gives the file of the tutorial back, byte for byte', () => {
  assert.equal(serializeNodes(parseNodes(TUTORIAL_NODES).nodes, 'yaml'), TUTORIAL_NODES)
})

test('serializeNodes keeps role, labels and enabled, and texts that YAML could take for something else', () => {
  const node = {
    name: '007',
    groups: ['no', '1e3'],
    role: 'Service',
    enabled: false,
    labels: { a: 'true', 'b c': '- x' },
  }
  const interfaces = [{ mac: '02:00:00:00:00:01', addresses: [{ name: 'null', ip: 'fe80::1' }] }]
  const bmc = { mac: '02:01:00:00:00:01' }
  const { nodes } = parseNodes(serializeNodes([{ ...node, bmc, interfaces }], 'yaml'))
  assert.deepEqual(plain(nodes), [{ ...node, bmc, interfaces }])
})
