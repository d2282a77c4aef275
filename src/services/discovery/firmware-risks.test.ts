import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firmwareRisks, type FirmwareFacts } from './firmware-risks.ts'

const CASES: readonly (readonly [facts: FirmwareFacts, says: RegExp | undefined])[] = [
  [
    { vendor: 'HPE', model: 'iLO 4', version: 'iLO 4 v2.50' },
    /^firmware "iLO 4 v2\.50" lets anybody.*CVE-2017-12542.*2\.53/,
  ],
  [{ vendor: 'HPE', model: 'iLO 4', version: 'iLO 4 v2.53' }, undefined],
  [{ vendor: 'HPE', model: 'iLO 4', version: 'iLO 4 v2.82' }, undefined],
  [{ vendor: 'HPE', model: 'iLO 5', version: 'iLO 5 v1.40' }, undefined],
  [{ vendor: 'Dell', model: '13G Monolithic', version: '2.40.40.40' }, /CVE-2018-1207.*2\.52\.52\.52/],
  [{ vendor: 'Dell', model: '12G Modular', version: '2.9' }, /CVE-2018-1207/],
  [{ vendor: 'Dell', model: '13G Monolithic', version: '2.52.52.52' }, undefined],
  [{ vendor: 'Dell', model: '13G Monolithic', version: '2.82.82.82' }, undefined],
  [{ vendor: 'Dell', model: '14G Monolithic', version: '2.40.40.40' }, undefined],
  [{ vendor: 'Dell', model: '13G Monolithic' }, undefined],
  [{ vendor: 'AMI', version: '12.84.13' }, /"12\.84\.13" is of AMI.*CVE-2024-54085.*its maker says/],
  [{ product: 'AMI Redfish Server' }, /"without a version" is of AMI/],
  [{}, undefined],
]

test('firmware that is known to let anybody in is a finding, by its model and version', () => {
  for (const [facts, says] of CASES) {
    const findings = firmwareRisks(facts)
    assert.equal(findings.length, says ? 1 : 0, JSON.stringify(facts))
    if (says) assert.match(findings[0]!.what, says)
    for (const { kind } of findings) assert.equal(kind, 'firmware-at-risk')
  }
})
