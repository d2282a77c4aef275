import assert from 'node:assert/strict'
import { test } from 'node:test'
import { next, runOptions, stateNames, TRANSITIONS } from './container.ts'
import { mac, machineSpec, matchesRank, rankExpression, systemUuid } from './machine.ts'
import { isBefore, stallCause, stageAfter } from './stage.ts'

test('next follows the drawing and knows nothing else', () => {
  assert.equal(next('created', 'begin'), 'preparing')
  assert.equal(next('running', 'exit'), 'stopping')
  assert.equal(next('stopping', 'off'), 'exited')
  assert.equal(next('exited', 'stop'), undefined)
  for (const row of Object.values(TRANSITIONS)) for (const to of Object.values(row)) assert.ok(stateNames.includes(to))
})

test('mac reads dashes and upper case, and refuses anything else', () => {
  assert.equal(mac.parse('52-54-00-AB-cd-01'), '52:54:00:ab:cd:01')
  assert.equal(mac.safeParse('52:54:00:ab:cd').success, false)
  for (const nobody of ['00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01'])
    assert.match(mac.safeParse(nobody).error!.message, /not the MAC address of one network card/)
})

test('systemUuid reads what firmware makes of a serial number, in lower case', () => {
  assert.equal(systemUuid.parse('36383150-3630-584D-5130-313930323042'), '36383150-3630-584d-5130-313930323042')
  assert.equal(systemUuid.safeParse('36383150-3630-584D-5130').success, false)
})

test('matchesRank joins expressions by and', () => {
  assert.equal(matchesRank(3, ['ge 2', 'le 3']), true)
  assert.equal(matchesRank(3, ['eq 4']), false)
  assert.equal(matchesRank(0, ['any']), true)
  assert.equal(rankExpression.safeParse('gt 3').success, false)
})

test('machineSpec and runOptions refuse unknown fields and fill defaults', () => {
  assert.equal(machineSpec.parse({ name: 'm1', macs: ['52:54:00:00:00:01'] }).arch, 'amd64')
  assert.equal(machineSpec.safeParse({ name: 'm1', macs: ['52:54:00:00:00:01'], colour: 'red' }).success, false)
  assert.equal(runOptions.parse({ image: 'alpine' }).timeoutSeconds, 180)
  assert.equal(runOptions.safeParse({ image: 'alpine', kernelParams: ['a;b'] }).success, false)
  assert.equal(runOptions.safeParse({ image: 'alpine', env: ['=x'] }).success, false)
})

test('stages come in order and a stall names what it waits for', () => {
  assert.equal(isBefore('dhcp', 'kernel'), true)
  assert.equal(stageAfter('running'), undefined)
  assert.match(
    stallCause('power-on', 60),
    /waited 60 s for a DHCP request of the machine since stage "power-on"; is network/,
  )
})
