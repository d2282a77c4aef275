import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNdp } from '../../src/wire/ndp/packet.ts'
import { missing, openNetPair } from './net-pair.ts'

/** Asks for a router each half second, by the kernel's own ICMPv6 socket; prints the answer, its hop limit and how long it took. */
const SOLICIT = `import socket,struct,time
s=socket.socket(socket.AF_INET6,socket.SOCK_RAW,socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_MULTICAST_HOPS,255)
s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_RECVHOPLIMIT,1)
index=socket.if_nametoindex("c0")
s.settimeout(0.5)
for _ in range(12):
    try: s.sendto(bytes([133,0,0,0,0,0,0,0]),("ff02::2",0,0,index))
    except OSError: time.sleep(0.5); continue
    began=time.time()
    while time.time()-began<0.5:
        try: data,extra,_,peer=s.recvmsg(1500,100)
        except OSError: break
        if data[0]==134:
            print(data.hex(),struct.unpack("i",extra[0][2])[0],peer[0],int((time.time()-began)*1000)); raise SystemExit
`

test(
  'ra: a solicitation is answered at once with an advertisement that promises nothing',
  { skip: missing('python3') ?? false },
  async () => {
    await using net = openNetPair()
    await net.host({ subnets: [{ cidr: '10.66.0.0/16', pools: [] }], advertises: true })
    const { stdout, stderr } = await net.client('/usr/bin/python3', '-c', SOLICIT)
    const [hex, hops, peer, tookMs] = stdout.trim().split(' ')
    const packet = parseNdp(Uint8Array.fromHex(hex ?? assert.fail(`no advertisement: ${stderr}`)))
    assert.ok(packet.type === 'advertisement' && packet.sourceMac)
    assert.deepEqual([packet.routerSeconds, packet.isManaged, packet.hasOther, packet.prefixes], [0, false, false, []])
    assert.equal(hops, '255')
    assert.match(peer!, /^fe80:/)
    assert.ok(Number(tookMs) < 3000, `${tookMs} ms`)
    const { stdout: route } = await net.client('ip', '-6', 'route', 'show', 'default')
    assert.equal(route.trim(), '', 'nobody takes us for a router')
  },
)
