/**
 * One QEMU machine that boots a kit directly (`-kernel`, `-initrd`) and a boot server for it that only remembers what it was told.
 * Everything is inside the network namespace of the process that uses it: run it under `unshare --net`.
 */
import { execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import ssh2 from 'ssh2'
import { poll } from '../../src/base/clock.ts'

export interface Wire {
  readonly tap: string
  readonly server: string
  readonly machine: string
  readonly mac: string
}

/** Two wires: a machine at the end of each, neither of which sees the other. */
export const WIRES: readonly [Wire, Wire] = [
  { tap: 'tap0', server: '10.78.0.1', machine: '10.78.0.50', mac: '52:54:00:00:78:01' },
  { tap: 'tap1', server: '10.78.1.1', machine: '10.78.1.50', mac: '52:54:00:00:78:02' },
]

export interface Told {
  /** `stage/running`, `exit/0`, `failed/rootfs` … */
  readonly what: string
  readonly body: string
  readonly atMs: number
}

export interface Workload {
  readonly mode?: 'app' | 'os'
  /** Path of a tar, or its bytes; not for roots that are no tar. */
  readonly rootfs?: string | Uint8Array
  readonly rootfsBytes?: number
  /** What the spec says beyond that, e.g. BB_ROOTFS. */
  readonly spec?: Readonly<Record<string, string | number>>
  /** Other files that the machine may fetch, by name; values are paths. They honour Range. */
  readonly files?: Readonly<Record<string, string>>
  readonly argv?: readonly string[]
  readonly env?: readonly string[]
  readonly tty?: boolean
  readonly stdin?: boolean
  readonly user?: { uid: number; gid: number; groups: readonly number[] }
  readonly workdir?: string
}

/** The wires, with DHCP on them. Call once. Leases are 120 s, the shortest that udhcpc believes: it renews after 61 s. */
export function setUpNetwork() {
  const ip = (...args: string[]): void => void execFileSync('ip', args)
  ip('link', 'set', 'lo', 'up')
  for (const { tap, server } of WIRES) {
    ip('tuntap', 'add', tap, 'mode', 'tap')
    ip('addr', 'add', `${server}/24`, 'dev', tap)
    ip('link', 'set', tap, 'up')
  }
  const child = spawn(
    'dnsmasq',
    [
      ...['--no-daemon', '--conf-file=/dev/null', '--port=0', '--no-ping', '--leasefile-ro', '--dhcp-option=6,9.9.9.9'],
      ...WIRES.flatMap(({ tap, machine }) => [`--interface=${tap}`, `--dhcp-range=${machine},${machine},2m`]),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()))
  return {
    /** How often the machine at the end of a wire was given its address. */
    leases: ({ tap, machine }: Wire): number => log.split(`DHCPACK(${tap}) ${machine} `).length - 1,
    stop: () => void child.kill(),
  }
}

export interface Keys {
  /** Base64 of dropbear's own format. */
  readonly hostKey: string
  /** As an SSH client sees it, base64. */
  readonly hostPublic: string
  readonly clientPem: string
  readonly authorized: string
}

export function makeKeys(): Keys {
  const host = rawEd25519()
  const client = rawEd25519()
  return {
    hostKey: Buffer.concat([sshString('ssh-ed25519'), sshString(Buffer.concat([host.seed, host.public]))]).toString(
      'base64',
    ),
    hostPublic: publicBlob(host.public).toString('base64'),
    clientPem: opensshPem(client),
    authorized: `ssh-ed25519 ${publicBlob(client.public).toString('base64')}`,
  }
}

/** The spec as the guest sources it. */
export function specOf(workload: Workload, keys: Keys): string {
  const { uid, gid, groups } = workload.user ?? { uid: 0, gid: 0, groups: [0] }
  const size = workload.rootfsBytes ?? sizeOf(workload.rootfs)
  const values: Record<string, string | number> = {
    BB_ID: 'c0ffee',
    BB_NAME: 'lab',
    BB_MODE: workload.mode ?? 'app',
    BB_ROOTFS: 'ram',
    BB_ROOTFS_BYTES: size,
    BB_HOSTNAME: 'lab-host',
    BB_INIT: '/sbin/init',
    BB_TTY: workload.tty ? 1 : 0,
    BB_STDIN: workload.stdin ? 1 : 0,
    BB_WORKDIR: workload.workdir ?? '/',
    BB_UID: uid,
    BB_GID: gid,
    BB_GROUPS: groups.join(','),
    BB_SSH_PORT: 1622,
    BB_SSH_HOST_KEY: keys.hostKey,
    BB_SSH_AUTHORIZED: keys.authorized,
    BB_ARGV: (workload.argv ?? []).map(quote).join(' '),
    BB_ENV: (workload.env ?? []).map(quote).join(' '),
    ...workload.spec,
  }
  return Object.entries(values)
    .map(([name, value]) => `${name}=${quote(String(value))}\n`)
    .join('')
}

function sizeOf(rootfs: string | Uint8Array = ''): number {
  return typeof rootfs !== 'string' ? rootfs.length : rootfs === '' ? 0 : statSync(rootfs).size
}

export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

/** Serves one machine at /boot/TOKEN. */
export async function startBootServer(workload: Workload, keys: Keys, wire: Wire = WIRES[0]) {
  const told: Told[] = []
  const startedMs = performance.now()
  const faults = { rootfsCuts: 0, refusePosts: false }
  const server = createServer((request, response) => {
    const what = (request.url ?? '').replace('/boot/TOKEN/', '')
    if (request.method === 'POST') {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        if (faults.refusePosts) return response.writeHead(503).end()
        told.push({ what, body: Buffer.concat(chunks).toString(), atMs: performance.now() - startedMs })
        response.end()
      })
    } else if (what === 'spec') response.end(specOf(workload, keys))
    else if (workload.files?.[what]) sendRange(workload.files[what], request, response, faults)
    else if (what === 'rootfs.tar' && workload.rootfs) {
      response.setHeader('content-length', sizeOf(workload.rootfs))
      if (faults.rootfsCuts > 0) {
        faults.rootfsCuts--
        response.write('x'.repeat(1024), () => response.destroy())
      } else if (typeof workload.rootfs === 'string') createReadStream(workload.rootfs).pipe(response)
      else response.end(workload.rootfs)
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, wire.server, resolve))
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    url: `http://${wire.server}:${port}/boot/TOKEN`,
    told,
    faults,
    nowMs: () => performance.now() - startedMs,
    /** @returns what the machine told, or throws when it did not in time, or tells that its boot failed */
    async waitFor(what: string | RegExp, deadlineMs = 300_000): Promise<Told> {
      const isIt = (t: Told): boolean => (typeof what === 'string' ? t.what === what : what.test(t.what))
      const found = await poll(() => told.find((t) => isIt(t) || t.what.startsWith('failed/')), {
        everyMs: 20,
        deadlineMs,
      })
      if (found && !isIt(found)) throw new Error(`the machine told ${found.what}: ${found.body}`)
      if (!found) throw new Error(`the machine never told ${String(what)}, but ${told.map((t) => t.what).join(' ')}`)
      return found
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** From the offset that `Range: bytes=N-` names; cut after half of the rest as often as `rootfsCuts` says. */
function sendRange(path: string, request: IncomingMessage, response: ServerResponse, faults: { rootfsCuts: number }) {
  const size = statSync(path).size
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const headers = { 'content-length': size - start, 'content-range': `bytes ${start}-${size - 1}/${size}` }
  response.writeHead(request.headers.range ? 206 : 200, headers)
  if (faults.rootfsCuts === 0) return void createReadStream(path, { start }).pipe(response)
  faults.rootfsCuts--
  const part = createReadStream(path, { start, end: start + ((size - start) >> 1) })
  part.pipe(response, { end: false })
  part.on('end', () => response.destroy())
}

export interface MachineOptions {
  readonly kernel: string
  readonly initrd: string
  readonly url: string
  readonly memoryMb?: number
  readonly nic?: string
  readonly wire?: Wire
  /** More words for the kernel command line. */
  readonly kernelArguments?: string
  readonly onConsole?: (text: string) => void
}

export function startMachine({
  kernel,
  initrd,
  url,
  memoryMb = 1024,
  nic = 'virtio-net-pci',
  wire = WIRES[0],
  kernelArguments = '',
  onConsole,
}: MachineOptions) {
  const arguments_ = [
    ...['-accel', 'tcg,thread=single', '-machine', 'pc,graphics=off', '-smp', '1', '-m', String(memoryMb)],
    ...['-nodefaults', '-display', 'none', '-vga', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-netdev', `tap,id=n0,ifname=${wire.tap},script=no,downscript=no`],
    ...['-device', `${nic},netdev=n0,mac=${wire.mac},romfile=`],
    ...['-kernel', kernel, '-initrd', initrd],
    ...[
      '-append',
      `bareboat.id=c0ffee bareboat.url=${url} BOOTIF=01-${wire.mac.replaceAll(':', '-')} console=ttyS0 quiet ${kernelArguments}`,
    ],
  ]
  const child = spawn('qemu-system-x86_64', arguments_, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('latin1')
    onConsole?.(chunk.toString('latin1'))
  })
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  return {
    console: () => output,
    /** Resolves when the machine has switched itself off; rejects with the end of its console when it has not in 4 minutes. */
    off: () => within(ended, () => `the machine does not switch itself off: ${output.slice(-2000)}`),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** @throws Error with `words` when the promise is not settled within 4 minutes */
async function within<T>(promise: Promise<T>, words: () => string): Promise<T> {
  const over = new AbortController()
  const late = sleep(240_000, undefined, { signal: over.signal }).then(() => Promise.reject(new Error(words())))
  late.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    over.abort()
  }
}

export interface Ran {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** Logs in to the agent, pinning its host key. */
export async function connect(keys: Keys) {
  const client = new ssh2.Client()
  await new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject)
    client.connect({
      host: WIRES[0].machine,
      port: 1622,
      username: 'root',
      privateKey: keys.clientPem,
      hostVerifier: (key: Buffer) => key.toString('base64') === keys.hostPublic,
      readyTimeout: 60_000,
      // A machine that is off says nothing more, nor takes a connection down: without these its client would wait for ever.
      keepaliveInterval: 10_000,
      keepaliveCountMax: 6,
    })
  })
  const start = (command: string, pty?: { rows: number; cols: number }): Promise<ssh2.ClientChannel> =>
    new Promise((resolve, reject) =>
      client.exec(command, pty ? { pty: { ...pty, term: 'xterm' } } : {}, (error, channel) =>
        error ? reject(error) : resolve(channel),
      ),
    )
  return {
    start,
    async run(command: string, input?: Uint8Array | string): Promise<Ran> {
      const channel = await start(command)
      const ran = collect(channel)
      channel.end(input)
      return within(ran, () => `the agent does not end "${command}"`)
    },
    /** Not waited for: the machine may be off before its answer is sent. */
    powerOff: () =>
      void start('power-off')
        .then(collect)
        .catch(() => {}),
    async [Symbol.asyncDispose]() {
      // A machine that was switched off says nothing more: there is no farewell to wait for.
      client.destroy()
    },
  }
}

export async function collect(channel: ssh2.ClientChannel): Promise<Ran> {
  const out: Buffer[] = []
  let stderr = ''
  let code: number | null = null
  channel.on('data', (chunk: Buffer) => out.push(chunk))
  channel.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  channel.on('exit', (status: number | null) => (code = status))
  await new Promise((resolve) => channel.on('close', resolve))
  return { code, stdout: Buffer.concat(out), stderr }
}

interface Ed25519 {
  readonly seed: Buffer
  readonly public: Buffer
}

function rawEd25519(): Ed25519 {
  const { privateKey } = generateKeyPairSync('ed25519')
  const jwk = privateKey.export({ format: 'jwk' })
  return { seed: Buffer.from(jwk.d ?? '', 'base64url'), public: Buffer.from(jwk.x ?? '', 'base64url') }
}

function sshString(value: string | Uint8Array): Buffer {
  const body = Buffer.from(value as Uint8Array)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  return Buffer.concat([length, body])
}

function publicBlob(key: Buffer): Buffer {
  return Buffer.concat([sshString('ssh-ed25519'), sshString(key)])
}

/** PROTOCOL.key of OpenSSH, unencrypted: what ssh2 reads for ed25519. */
function opensshPem(key: Ed25519): string {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    return bytes
  }
  const secret = Buffer.concat([
    number(1),
    number(1),
    publicBlob(key.public),
    sshString(Buffer.concat([key.seed, key.public])),
    sshString(''),
  ])
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1))
  const body = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    sshString('none'),
    sshString('none'),
    sshString(''),
    number(1),
    sshString(publicBlob(key.public)),
    sshString(Buffer.concat([secret, padding])),
  ])
  const lines = body.toString('base64').replaceAll(/.{70}/g, '$&\n')
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`
}
