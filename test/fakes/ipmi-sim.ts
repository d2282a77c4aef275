/** Runs OpenIPMI's `ipmi_sim` as one BMC whose machine is a file: what `chassis_control` asks of it is kept there. */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { createSocket } from 'node:dgram'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { poll, sleep } from '../../src/base/clock.ts'
import type { SimInventory } from './ipmi-inventory.ts'

export interface IpmiSim extends AsyncDisposable {
  readonly port: number
  /** What the chassis was told, one line each: `power 1`. */
  trace(): string[]
  /** Resolves with the serial console's next connection: ipmi_sim connects again a while after it lost one. */
  readonly serial: Server
}

/** True when the program is there. */
export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0
}

/**
 * Starts it on loopback; user `admin`, password `secret`.
 * @param serve what a connection of the serial console does; by default it echoes
 * @param inventory sensors, FRU and event log; by default it has none
 */
export async function startIpmiSim(
  serve: (serial: Socket) => void = (serial) => serial.pipe(serial),
  inventory?: SimInventory,
): Promise<IpmiSim> {
  const dir = mkdtempSync(join(tmpdir(), 'ipmi-sim-'))
  const serial = createServer((socket) => {
    socket.on('error', () => {})
    serve(socket)
  })
  await new Promise<void>((resolve) => serial.listen(0, '127.0.0.1', resolve))
  const serialAddress = serial.address()
  const serialPort = typeof serialAddress === 'object' ? serialAddress!.port : 0
  const port = await freeUdpPort()
  const auths = ['callback', 'user', 'operator', 'admin'].map(
    (level) => `    allowed_auths_${level} none md2 md5 straight`,
  )
  writeFileSync(
    join(dir, 'lan.conf'),
    [
      'name "node0"',
      'set_working_mc 0x20',
      '  startlan 1',
      `    addr 127.0.0.1 ${port}`,
      '    priv_limit admin',
      ...auths,
      '    guid a123456789abcdefa123456789abcdef',
      `    lan_config_program "${dir}/lan.sh"`,
      '  endlan',
      `  chassis_control "${dir}/chassis.sh 0x20"`,
      `  sol "tcp:127.0.0.1:${serialPort}" 115200`,
      '  user 1 true  ""      "test"   user  10 none md2 md5 straight',
      '  user 2 true  "admin" "secret" admin 10 none md2 md5 straight',
      '',
    ].join('\n'),
  )
  writeFileSync(
    join(dir, 'node0.emu'),
    [
      'mc_setbmc 0x20',
      'mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr',
      'sel_enable 0x20 1000 0x0a',
      ...(inventory ? inventoryLines(inventory) : []),
      'mc_enable 0x20',
      '',
    ].join('\n'),
  )
  writeFileSync(join(dir, 'chassis.sh'), CHASSIS)
  chmodSync(join(dir, 'chassis.sh'), 0o755)
  writeFileSync(join(dir, 'lan.sh'), LAN)
  chmodSync(join(dir, 'lan.sh'), 0o755)
  writeFileSync(join(dir, 'log'), '')
  mkdirSync(join(dir, 'state'))
  const child = spawn('ipmi_sim', ['-n', '-c', 'lan.conf', '-f', 'node0.emu', '-s', 'state'], {
    cwd: dir,
    stdio: 'ignore',
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const isReady = await poll(() => answersPing(port), { everyMs: 50, deadlineMs: 5000 })
  if (!isReady) throw new Error('ipmi_sim does not answer')
  return {
    port,
    serial,
    trace: () => readFileSync(join(dir, 'log'), 'utf8').trim().split('\n'),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
      await new Promise<void>((resolve) => void serial.close(() => resolve()))
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** As ipmi_sim_cmd(5) says it. */
function inventoryLines({ sdrs, sensors, fru, sel }: SimInventory): string[] {
  const hex = (bytes: Iterable<number>) => Array.from(bytes, (byte) => `0x${byte.toString(16)}`).join(' ')
  return [
    ...sdrs.map((bytes) => `main_sdr_add 0x20 ${hex(bytes)}`),
    ...sensors.flatMap(({ number, sensorType, readingType, raw, thresholds, states = [] }) => [
      `sensor_add 0x20 0 ${number} 0x${sensorType.toString(16)} 0x${readingType.toString(16)}`,
      `sensor_set_event_support 0x20 0 ${number} enable scanning per-state 000111111111111 000111111111111 000000000000000 000000000000000`,
      ...(thresholds ? [`sensor_set_threshold 0x20 0 ${number} settable 111111 ${thresholds.join(' ')}`] : []),
      ...(raw === undefined ? [] : [`sensor_set_value 0x20 0 ${number} ${raw} 0`]),
      ...states.map((state) => `sensor_set_bit 0x20 0 ${number} ${state} 1 0`),
    ]),
    `mc_add_fru_data 0x20 0 ${fru.length} data ${hex(fru)}`,
    ...sel.map((bytes) => `sel_add 0x20 ${hex(bytes)}`),
  ]
}

/** `0x20 get power boot` prints `power:1` and so on; `0x20 set power 1` keeps it. */
const CHASSIS = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
shift; verb=$1; shift
if [ "$verb" = get ]; then
  for key in "$@"; do
    case $key in power) default=0 ;; *) default=none ;; esac
    echo "$key:$(cat "$key" 2>/dev/null || echo $default)"
  done
  exit 0
fi
echo "$*" >>log
case $1 in
  power | boot) echo "$2" >"$1" ;;
  shutdown) echo 0 >power ;;
esac
`

/** `get mac_addr` prints `mac_addr:…` and so on, as ipmi_sim_lancontrol does. */
const LAN = `#!/bin/sh
while [ $# -gt 0 ] && [ "$1" != get ]; do shift; done
shift
for key in "$@"; do
  case $key in mac_addr) value=0c:c4:7a:00:00:05 ;; ip_addr_src) value=static ;; ip_addr) value=127.0.0.1 ;; *) value=0.0.0.0 ;; esac
  echo "$key:$value"
done
`

export async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => void socket.close(() => resolve()))
  return port
}

/** Whether anything answers a datagram, by default an RMCP presence ping. */
export async function answersPing(port: number, datagram = '0600ff06000011be80000000'): Promise<true | undefined> {
  const socket = createSocket('udp4')
  try {
    const answer = new Promise<true>((resolve) => socket.once('message', () => resolve(true)))
    socket.on('error', () => {})
    socket.send(Buffer.from(datagram, 'hex'), port, '127.0.0.1')
    return await Promise.race([answer, sleep(100).then(() => undefined)])
  } finally {
    socket.close()
  }
}
