import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import {
  AMT_RESOURCES,
  bootSource,
  parseAmtPower,
  parseInstance,
  parseReturnValue,
  plainSettings,
  switchesOn,
} from './amt.ts'
import { parseWsmanAnswer, serializeWsman, SOAP } from './envelope.ts'
import { child, parseXml, type XmlElement } from './xml.ts'

const utf8 = (text: string) => new TextEncoder().encode(text)
const recorded = (name: string) =>
  Uint8Array.from(readFileSync(join(import.meta.dirname, '../../../test/packets/wsman', `${name}.xml`)))

function bodyOf(bytes: Uint8Array): XmlElement {
  const answer = parseWsmanAnswer(bytes)
  assert.equal(answer.kind, 'answer')
  return answer.kind === 'answer' ? answer.body : assert.fail()
}

const documents: { name: string; xml: string; text?: string; error?: RegExp }[] = [
  { name: 'entities and a section of characters', xml: '<a>&lt;&#65;&#x42;&amp;<![CDATA[<&>]]></a>', text: '<AB&<&>' },
  { name: 'a comment and white space around', xml: '<?xml version="1.0"?>\n<!-- x --><a> y </a>\n', text: 'y' },
  { name: 'a document type', xml: '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', error: /document type/ },
  { name: 'a processing instruction', xml: '<a><?php x?></a>', error: /processing instruction/ },
  { name: 'an entity of nobody', xml: '<a>&nbsp;</a>', error: /undefined entity/ },
  { name: 'a character that XML has not', xml: '<a>&#0;</a>', error: /malformed character entity/ },
  { name: 'a surrogate', xml: '<a>&#xd800;</a>', error: /malformed character entity/ },
  { name: 'tags that cross', xml: '<a><b></a></b>', error: /unexpected close tag/ },
  { name: 'a prefix of nobody', xml: '<x:a/>', error: /unbound namespace prefix: "x"/ },
  { name: 'two roots', xml: '<a/><b/>', error: /may contain only one root/ },
  { name: 'text after the end', xml: '<a/>b', error: /text data outside of root/ },
  { name: 'cut short', xml: '<a><b>', error: /unclosed tag: b/ },
  { name: 'cut short in a tag', xml: '<a b="c', error: /unclosed tag|unexpected end/ },
  { name: 'nothing', xml: '', error: /root element/ },
  { name: 'an attribute twice', xml: '<a b="1" b="2"/>', error: /duplicate attribute/ },
  { name: 'an attribute twice by two prefixes', xml: '<a xmlns:p="u" xmlns:q="u" p:b="" q:b=""/>', error: /duplicate/ },
  { name: 'a name of every object', xml: '<a>&constructor;</a>', error: /undefined entity/ },
  { name: 'a control character', xml: '<a>\u0001</a>', error: /disallowed character/ },
  { name: 'line ends', xml: '<a>b\r\nc\rd&#13;e</a>', text: 'b\nc\nd\re' },
  { name: 'XML 1.1 is read as 1.0', xml: '<?xml version="1.1"?><a>&#1;</a>', error: /malformed character entity/ },
  { name: 'long words of a stranger', xml: `<a><${'\u00e9'.repeat(9999)}:b/></a>`, error: /^.{1,250}$/ },
  {
    name: 'too many attributes',
    xml: `<a ${Array.from({ length: 65 }, (_, n) => `a${n}=""`).join(' ')}/>`,
    error: /64 att/,
  },
  { name: 'too deep', xml: '<a>'.repeat(33), error: /more than 32 levels/ },
  { name: 'too many', xml: `<a>${'<b/>'.repeat(20_000)}</a>`, error: /more than 20000 elements/ },
  { name: 'too long', xml: `<a>${' '.repeat(1024 * 1024)}</a>`, error: /at most 1048576/ },
]
for (const { name, xml, text, error } of documents)
  test(`parseXml: ${name}`, () => {
    if (error) assert.throws(() => parseXml(utf8(xml)), error)
    else assert.equal(parseXml(utf8(xml)).text, text)
  })

test('parseXml: bytes that are no UTF-8', () =>
  assert.throws(() => parseXml(Uint8Array.of(0x3c, 0x61, 0xff)), /not UTF-8/))

test('parseXml: namespaces are inherited, changed and undone', () => {
  const root = parseXml(utf8('<a xmlns="u:1" xmlns:p="u:2"><p:b c="&quot;"/><d xmlns=""/></a>'))
  assert.deepEqual([root.namespace, ...root.children.map((one) => one.namespace)], ['u:1', 'u:2', ''])
  assert.equal(root.children[0]?.attributes.get('c'), '"')
})

test('recorded: return values of RequestPowerStateChange and ChangeBootOrder', () => {
  const power = bodyOf(recorded('cim-power-managementservice-requestpowerstatechange'))
  assert.equal(parseReturnValue(power, 'RequestPowerStateChange'), 0)
  assert.equal(parseReturnValue(bodyOf(recorded('cim-boot-configsetting-changebootorder')), 'ChangeBootOrder'), 0)
  assert.equal(parseReturnValue(bodyOf(recorded('cim-boot-service-setbootconfigrole')), 'SetBootConfigRole'), 0)
  assert.throws(() => parseReturnValue(power, 'ChangeBootOrder'), /not "ChangeBootOrder_OUTPUT"/)
})

test('recorded: the power state, and what may be asked for', () => {
  const items = child(bodyOf(recorded('cim-service-availabletoelement-pull')), 'Items')
  const power = parseAmtPower(child(items, 'CIM_AssociatedPowerManagementService')!)
  assert.equal(power.state, 2)
  assert.deepEqual([...power.available], [10, 8, 5, 11, 4, 7, 14, 12])
})

test('recorded: boot settings are put back without what the firmware keeps, and plain', () => {
  const settings = parseInstance(bodyOf(recorded('amt-boot-settingdata-get')), 'AMT_BootSettingData')
  assert.deepEqual(switchesOn(settings), [])
  const changed = settings.map(([name, value]) => [name, name === 'BIOSSetup' ? 'true' : value] as const)
  assert.deepEqual(switchesOn(changed), ['BIOSSetup'])
  const put = plainSettings(changed)
  assert.deepEqual(switchesOn(put), [])
  assert.ok(!put.some(([name]) => name === 'BIOSLastStatus') && put.some(([name]) => name === 'UseSOL'))
  // Every field that we put is one that a recorded Put has.
  const reference = child(parseXml(recorded('amt-boot-settingdata-put')), 'Body')!.children[0]!
  assert.deepEqual(
    put.map(([name]) => name).filter((name) => !reference.children.some((one) => one.name === name)),
    [],
  )
  const capabilities = parseInstance(bodyOf(recorded('amt-boot-capabilities-get')), 'AMT_BootCapabilities')
  assert.equal(new Map(capabilities).get('ForcePXEBoot'), 'true')
})

test('serializeWsman: what is invoked reads back as it was written', () => {
  const source = bootSource('pxe')
  const bytes = serializeWsman({
    messageId: '1',
    do: 'invoke',
    resource: AMT_RESOURCES.bootConfig,
    method: 'ChangeBootOrder',
    fields: [
      ['Source', source],
      ['Text', '<&"\'>'],
    ],
  })
  const envelope = parseXml(bytes)
  const header = child(envelope, 'Header')
  assert.equal(envelope.namespace, SOAP)
  assert.equal(child(header, 'Action')?.text, `${AMT_RESOURCES.bootConfig.uri}/ChangeBootOrder`)
  assert.equal(child(child(header, 'SelectorSet'), 'Selector')?.text, 'Intel(r) AMT: Boot Configuration 0')
  const input = child(envelope, 'Body')!.children[0]!
  assert.deepEqual([input.name, input.namespace], ['ChangeBootOrder_INPUT', AMT_RESOURCES.bootConfig.uri])
  assert.equal(child(input, 'Text')?.text, '<&"\'>')
  const reference = child(child(input, 'Source'), 'ReferenceParameters')
  assert.equal(child(reference, 'ResourceURI')?.text, source.uri)
  const selector = child(child(reference, 'SelectorSet'), 'Selector')!
  assert.deepEqual([selector.attributes.get('Name'), selector.text], ['InstanceID', 'Intel(r) AMT: Force PXE Boot'])
})

test('parseWsmanAnswer: a fault has code, subcode and reason; what is no envelope is refused', () => {
  const fault = `<s:Envelope xmlns:s="${SOAP}" xmlns:w="urn:w"><s:Header/><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:AccessDenied</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">no</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>`
  assert.deepEqual(parseWsmanAnswer(utf8(fault)), {
    kind: 'fault',
    code: 'Sender',
    subcode: 'AccessDenied',
    reason: 'no',
  })
  assert.throws(() => parseWsmanAnswer(utf8('<html/>')), WireError)
  assert.throws(() => parseWsmanAnswer(utf8(`<s:Envelope xmlns:s="${SOAP}"><s:Body/></s:Envelope>`)), /0 elements/)
})
