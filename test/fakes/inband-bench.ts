/**
 * A machine with UEFI firmware, a BMC of its own and an NVMe disk: QEMU, whose KCS interface goes to OpenIPMI's `ipmi_sim`, so that what is
 * done to the BMC from inside the machine shows to who comes over the network. Inside the network namespace of the process that uses it.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, copyFileSync, createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { poll } from '../../src/base/clock.ts'
import { OVMF, QEMU } from '../../src/rack/qemu-line.ts'

export const BENCH = {
  tap: 'tap0',
  server: '10.78.0.1',
  mac: '52:54:00:00:78:07',
  serial: 'INBAND01',
  bmc: { ip: '10.78.9.9', mac: '02:00:00:00:78:09', user: 'admin', password: 'secret-of-somebody' },
  disk: { serial: 'NVME0001', bytes: 64 << 20 },
} as const

/** The network: a tap for the machine and the address of the BMC. Call once. */
export function setUpBenchNetwork(): void {
  const ip = (...args: string[]): void => void execFileSync('ip', args)
  ip('link', 'set', 'lo', 'up')
  ip('addr', 'add', `${BENCH.bmc.ip}/32`, 'dev', 'lo')
  ip('tuntap', 'add', BENCH.tap, 'mode', 'tap')
  ip('addr', 'add', `${BENCH.server}/24`, 'dev', BENCH.tap)
  ip('link', 'set', BENCH.tap, 'up')
}

/** As ipmi_lan(5) has it: one line for each of the names that it asks for. */
const LAN_CONFIG = `#!/bin/sh
[ "$1" = get ] || exit 0
shift
for name; do case $name in
  ip_addr) echo ip_addr:${BENCH.bmc.ip} ;;
  ip_addr_src) echo ip_addr_src:static ;;
  mac_addr) echo mac_addr:${BENCH.bmc.mac} ;;
  subnet_mask) echo subnet_mask:255.255.255.0 ;;
  *) echo "$name:0.0.0.0" ;;
esac; done
`
const VM_PORT = 9002

/** @param dir a folder of its own */
export async function startBench(dir: string) {
  const disk = join(dir, 'disk')
  writeFileSync(disk, Buffer.alloc(BENCH.disk.bytes, 'an old file system'))
  const bmc = startBmc(dir)
  await poll(() => (connects(VM_PORT) ? true : undefined), { everyMs: 100, deadlineMs: 20_000 })
  copyFileSync(OVMF.uefi.vars, join(dir, 'nvram'))
  const consoleLog = join(dir, 'console.log')
  const machine = spawn(QEMU, qemuArguments(dir, disk), { stdio: ['ignore', 'pipe', 'inherit'] })
  machine.stdout.pipe(createWriteStream(consoleLog))
  return {
    disk,
    console: () => readFileSync(consoleLog, 'latin1'),
    async [Symbol.asyncDispose]() {
      for (const child of [machine, bmc] satisfies ChildProcess[]) {
        const ended = new Promise((resolve) => child.once('exit', resolve))
        if (child.kill('SIGKILL')) await ended
      }
    },
  }
}

function startBmc(dir: string): ChildProcess {
  writeFileSync(join(dir, 'lan-config'), LAN_CONFIG)
  chmodSync(join(dir, 'lan-config'), 0o755)
  const levels = ['callback', 'user', 'operator', 'admin']
  const lan = [
    'name "bench"',
    'set_working_mc 0x20',
    '  startlan 1',
    `    addr ${BENCH.bmc.ip} 623`,
    '    priv_limit admin',
    ...levels.map((level) => `    allowed_auths_${level} none md2 md5 straight`),
    '    guid a123456789abcdefa123456789abcdef',
    `    lan_config_program "${dir}/lan-config"`,
    '  endlan',
    `  serial 15 127.0.0.1 ${VM_PORT} codec VM`,
    '  user 1 true  ""      "test"   user  10 none md2 md5 straight',
    `  user 2 true  "${BENCH.bmc.user}" "${BENCH.bmc.password}" admin 10 none md2 md5 straight`,
  ]
  writeFileSync(join(dir, 'lan.conf'), `${lan.join('\n')}\n`)
  const emulated = [
    'mc_setbmc 0x20',
    'mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr',
    'sel_enable 0x20 1000 0x0a',
    'mc_enable 0x20',
  ]
  writeFileSync(join(dir, 'bench.emu'), `${emulated.join('\n')}\n`)
  mkdirSync(join(dir, 'state'))
  const argv = ['-n', '-c', 'lan.conf', '-f', 'bench.emu', '-s', 'state']
  return spawn('ipmi_sim', argv, { cwd: dir, stdio: 'ignore' })
}

function qemuArguments(dir: string, disk: string): string[] {
  return [
    ...['-accel', 'tcg,thread=single', '-machine', 'q35,graphics=off', '-smp', '1', '-m', '1024'],
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-vga', 'none', '-serial', 'stdio'],
    ...['-smbios', `type=1,manufacturer=Bareboat,product=Bench,serial=${BENCH.serial}`],
    ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${OVMF.uefi.code}`],
    ...['-drive', `if=pflash,unit=1,format=raw,file=${join(dir, 'nvram')}`],
    ...['-device', 'virtio-rng-pci', '-boot', 'strict=on'],
    ...['-netdev', `tap,id=net0,ifname=${BENCH.tap},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=net0,mac=${BENCH.mac},bootindex=1,romfile=`],
    ...['-drive', `if=none,id=disk0,format=raw,file=${disk}`],
    ...['-device', `nvme,drive=disk0,serial=${BENCH.disk.serial}`],
    ...['-chardev', `socket,id=ipmi0,host=127.0.0.1,port=${VM_PORT},reconnect=1`],
    ...['-device', 'ipmi-bmc-extern,chardev=ipmi0,id=bmc0', '-device', 'isa-ipmi-kcs,bmc=bmc0'],
  ]
}

/** Whether somebody listens, as /proc/net/tcp has it: a connection would be the only one that `ipmi_sim` takes. */
function connects(port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  return new RegExp(`:${hex} 00000000:0000 0A `).test(readFileSync('/proc/net/tcp', 'latin1'))
}
