/** Redfish services are found by SSDP: GNOME's gssdp answers, in a network namespace of its own. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { scanSsdp } from '../../src/drivers/discovery/ssdp-scan.ts'

const HERE = import.meta.dirname
const TYPELIB = '/usr/share/doc/gir1.2-gssdp-1.6'
const IN_NAMESPACE = 'BAREBOAT_SSDP_TEST'

/** Two networks on which a service answers each, one that says it is at another address, and one network without any. */
const SCRIPT = `
ip link set lo up
for n in 1 2 3 4; do
  ip link add d$n type bridge && ip addr add 10.77.$n.1/24 dev d$n && ip link set d$n up multicast on
done
serve() {
  /usr/bin/python3 ${join(HERE, '../fakes/gssdp.py')} "$@" >/tmp/ssdp.$$.$1 2>&1 &
  pids="$pids $!"
  for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    grep -q ready /tmp/ssdp.$$.$1 && return
    sleep 0.5
  done
  cat /tmp/ssdp.$$.$1 >&2
}
serve d1 https://10.77.1.1:8443/redfish/v1/ 92384634-2938-2342-8820-489239905423
serve d2 http://10.77.2.1/redfish/v1/ 92384634-2938-2342-8820-489239905424
serve d3 https://192.0.2.66:99/redfish/v1/ 92384634-2938-2342-8820-489239905425
${IN_NAMESPACE}=1 "$NODE" ${JSON.stringify(import.meta.filename)}
kill $pids
rm -f /tmp/ssdp.$$.*
`

if (process.env[IN_NAMESPACE] === '1') {
  const found = await Array.fromAsync(scanSsdp(3000, new AbortController().signal))
  console.log(`FOUND ${JSON.stringify(found.toSorted((a, b) => a.address.localeCompare(b.address)))}`)
} else
  test('services that answer a search are found once, where they speak from', { timeout: 60_000 }, (t) => {
    if (!existsSync(TYPELIB)) return t.skip('needs gir1.2-gssdp-1.6 and python3-gi')
    if (spawnSync('unshare', ['-n', 'true']).status !== 0) return t.skip('needs unshare, as root')
    const { stdout, stderr } = spawnSync('unshare', ['-n', 'sh', '-c', SCRIPT], {
      encoding: 'utf8',
      env: { ...process.env, NODE: process.execPath },
    })
    const found = /^FOUND (.*)$/m.exec(stdout)?.[1]
    assert.ok(found, stdout + stderr)
    assert.deepEqual(JSON.parse(found), [
      { address: '10.77.1.1', port: 8443, plainHttp: false },
      { address: '10.77.2.1', port: 80, plainHttp: true },
      // What it says of 192.0.2.66 is not followed.
      { address: '10.77.3.1', port: 443, plainHttp: false },
    ])
  })
