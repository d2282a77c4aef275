/**
 * Writes the recordings in test/packets/ipmi again: a relay between a client and a BMC prints each datagram, `>` to the BMC, `<` from it.
 * The relay has the BMC's port at another address, since ipmitool ends a console whose BMC names another port than the session's.
 * `node test/fakes/ipmi-recorder.ts [FILE…]`, all of them by default, with ipmi_sim, ipmitool, ipmipower and fakebmc (python3-pyghmi) installed.
 */
import { spawn } from 'node:child_process'
import { createSocket, type RemoteInfo } from 'node:dgram'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startBmcSim } from './bmc-sim.ts'
import { SIM_INVENTORY } from './ipmi-inventory.ts'
import { startIpmiSim } from './ipmi-sim.ts'
import { startPyghmiBmc } from './pyghmi-bmc.ts'

const IPMITOOL = ['ipmitool', '-I', 'lanplus', '-H', '127.0.0.2', '-U', 'admin', '-P', 'secret', '-p', 'PORT']
const RECORDINGS = [
  { file: 'ipmitool-suite-3-power-on.txt', bmc: 'ipmi_sim', args: [...IPMITOOL, '-C', '3', 'chassis', 'power', 'on'] },
  {
    file: 'ipmitool-suite-3-bootdev.txt',
    bmc: 'ipmi_sim',
    args: [...IPMITOOL, '-C', '3', 'chassis', 'bootdev', 'pxe'],
  },
  {
    file: 'ipmitool-suite-3-bootparam.txt',
    bmc: 'ipmi_sim',
    args: [...IPMITOOL, '-C', '3', 'chassis', 'bootparam', 'get', '5'],
  },
  { file: 'ipmitool-suite-17-refused.txt', bmc: 'ipmi_sim', args: [...IPMITOOL, '-C', '17', 'chassis', 'status'] },
  {
    file: 'ipmitool-suite-3-sol.txt',
    bmc: 'ipmi_sim',
    args: ['script', '-qec', [...IPMITOOL, '-C', '3', 'sol', 'activate'].join(' '), '/dev/null'],
  },
  ...(['sdr', 'fru', 'sel'] as const).map((what) => ({
    file: `ipmitool-suite-3-${what}.txt`,
    bmc: 'ipmi_sim' as const,
    args: [...IPMITOOL, '-C', '3', what, what === 'fru' ? 'print' : 'elist'],
  })),
  { file: 'ipmitool-suite-3-users.txt', bmc: 'ipmi_sim', args: [...IPMITOOL, '-C', '3', 'user', 'summary'] },
  {
    file: 'ipmitool-suite-3-password.txt',
    bmc: 'ipmi_sim',
    args: [...IPMITOOL, '-C', '3', 'user', 'set', 'password', '3', 'a password of 20 by', '20'],
  },
  { file: 'ipmitool-suite-17-status.txt', bmc: 'bmc-sim', args: [...IPMITOOL, '-C', '17', 'chassis', 'status'] },
  {
    file: 'ipmipower-suite-17-on.txt',
    bmc: 'bmc-sim',
    args: ['ipmipower', '-D', 'LAN_2_0', '-I', '17', '-h', '127.0.0.2:PORT', '-u', 'admin', '-p', 'secret', '--on'],
  },
  {
    file: 'ipmitool-suite-3-pyghmi.txt',
    bmc: 'pyghmi',
    args: [
      'sh',
      '-c',
      `printf '%s\\n' 'mc info' 'chassis bootdev pxe options=efiboot,persistent' 'chassis bootparam get 5' 'chassis power cycle' exit |
         ipmitool -I lanplus -H 127.0.0.2 -U admin -P secret -p PORT -C 3 shell`,
    ],
  },
] as const

const START = {
  ipmi_sim: () => startIpmiSim(undefined, SIM_INVENTORY),
  'bmc-sim': () => startBmcSim(),
  pyghmi: () => startPyghmiBmc(),
}
const ORIGINS = {
  ipmi_sim: 'OpenIPMI ipmi_sim 2.0.33',
  'bmc-sim': "bareboat's simulated BMC (test/fakes/bmc-sim.ts)",
  pyghmi: 'the BMC of python3-pyghmi 1.5.34 (fakebmc)',
}

const wanted = process.argv.slice(2)

for (const { file, bmc, args } of RECORDINGS) {
  if (wanted.length > 0 && !wanted.includes(file)) continue
  await using sim = await START[bmc]()
  const lines: string[] = []
  const back = createSocket('udp4')
  const front = createSocket('udp4')
  let client: RemoteInfo | undefined
  const note = (direction: string, bytes: Uint8Array) => void lines.push(`${direction} ${bytes.toHex()}`)
  front.on('message', (bytes, from) => {
    client = from
    note('>', bytes)
    back.send(bytes, sim.port, '127.0.0.1')
  })
  back.on('message', (bytes) => {
    note('<', bytes)
    if (client) front.send(bytes, client.port, client.address)
  })
  // pyghmi's has its port at every address, and no console here.
  const frontPort = bmc === 'pyghmi' ? 0 : sim.port
  await new Promise<void>((resolve) => front.bind(frontPort, '127.0.0.2', resolve))
  const argv = args.map((arg) => arg.replace('PORT', String(front.address().port)))
  const child = spawn(argv[0]!, argv.slice(1), { stdio: ['pipe', 'ignore', 'ignore'] })
  if (file.includes('sol'))
    for (const [text, afterMs] of [
      ['hello\r', 1500],
      ['~.', 2500],
    ] as const)
      setTimeout(() => child.stdin.write(text), afterMs)
  await new Promise((resolve) => child.once('exit', resolve))
  front.close()
  back.close()
  const shown = args.join(' ').replace(/\s+/g, ' ')
  writeFileSync(
    join(import.meta.dirname, '../packets/ipmi', file),
    `# ${shown}\n# with ${ORIGINS[bmc]}; user admin, password secret\n${lines.join('\n')}\n`,
  )
  console.log(file, lines.length)
}
