/** Two network namespaces joined by a cable, with our servers in one and somebody else's client in the other. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DhcpHostConfig } from '../fakes/dhcp-host.ts'

const HOST = fileURLToPath(new URL('../fakes/dhcp-host.ts', import.meta.url))

/** Why these tests cannot run here, or undefined. */
export function missing(...programs: string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'root is missing'
  const where = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin')
  const absent = ['ip', ...programs].filter((name) => !where.some((folder) => existsSync(join(folder, name))))
  return absent.length > 0 ? `${absent.join(', ')} missing` : undefined
}

export type Line = Readonly<Record<string, unknown>> & { readonly kind: string }

export interface Host {
  readonly child: ChildProcess
  /** All lines that it has written. */
  readonly lines: Line[]
  /** The next line that fits. */
  until(fits: (line: Line) => boolean): Promise<Line>
  health(): Promise<Line>
  kill(signal: NodeJS.Signals): Promise<void>
}

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface NetPair extends AsyncDisposable {
  /** A folder of its own, removed at the end. */
  readonly folder: string
  readonly serverNamespace: string
  readonly clientNamespace: string
  /** Runs a program beside the client's interface `c0`. */
  client(command: string, ...args: string[]): Promise<Ran>
  /** Runs a program beside the server's interface `s0`. */
  beside(command: string, ...args: string[]): Promise<Ran>
  /** Starts our servers on `s0`. @param under a program and its arguments to run them under, such as strace */
  host(config: Omit<DhcpHostConfig, 'interfaceName'>, under?: readonly string[]): Promise<Host>
}

let count = 0

/** @param address of the server with its prefix length @param clientAddress likewise; none: the client has to ask */
export function openNetPair({ address = '10.66.0.1/16', clientAddress = '' } = {}): NetPair {
  const [server, client] = ['s', 'c'].map((side) => `bb${side}${process.pid}-${count}`) as [string, string]
  count++
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-net-'))
  const hosts: Host[] = []
  must('ip', 'netns', 'add', server)
  must('ip', 'netns', 'add', client)
  must('ip', '-n', server, 'link', 'add', 's0', 'type', 'veth', 'peer', 'name', 'c0', 'netns', client)
  must('ip', '-n', server, 'addr', 'add', address, 'dev', 's0')
  if (clientAddress) must('ip', '-n', client, 'addr', 'add', clientAddress, 'dev', 'c0')
  for (const name of ['lo', 's0']) must('ip', '-n', server, 'link', 'set', name, 'up')
  for (const name of ['lo', 'c0']) must('ip', '-n', client, 'link', 'set', name, 'up')
  return {
    folder,
    serverNamespace: server,
    clientNamespace: client,
    client: (command, ...args) => run('ip', 'netns', 'exec', client, command, ...args),
    beside: (command, ...args) => run('ip', 'netns', 'exec', server, command, ...args),
    async host(config, under = []) {
      const host = await startHost(server, { interfaceName: 's0', ...config }, under)
      hosts.push(host)
      return host
    },
    async [Symbol.asyncDispose]() {
      for (const host of hosts) await host.kill('SIGKILL')
      for (const name of [server, client]) spawnSync('ip', ['netns', 'del', name])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function startHost(namespace: string, config: DhcpHostConfig, under: readonly string[]): Promise<Host> {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', HOST, JSON.stringify(config)]
  const child = spawn('ip', ['netns', 'exec', namespace, ...under, ...node], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines: Line[] = []
  const waiting = new Set<() => void>()
  createInterface(child.stdout).on('line', (text) => {
    lines.push(JSON.parse(text) as Line)
    for (const wake of waiting) wake()
  })
  const until = async (fits: (line: Line) => boolean, from = 0): Promise<Line> => {
    const deadline = AbortSignal.timeout(10_000)
    for (;;) {
      const found = lines.slice(from).find(fits)
      if (found) return found
      if (deadline.aborted || child.exitCode !== null)
        throw new Error(`the host only said ${JSON.stringify(lines.at(-1))}`)
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer)
          waiting.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, 500)
        waiting.add(wake)
      })
    }
  }
  const pid = Number((await until((line) => line.kind === 'ready'))['pid'])
  return {
    child,
    lines,
    until,
    health: () => {
      const from = lines.length
      child.stdin.write('health\n')
      return until((line) => line.kind === 'health', from)
    },
    async kill(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      // Not the child: where it is strace, that would only let its tracee go.
      process.kill(pid, signal)
      await exited
    },
  }
}

/** Runs a program to its end; what it writes is kept. */
export async function run(command: string, ...args: string[]): Promise<Ran> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], signal: AbortSignal.timeout(120_000) })
  const out = { stdout: '', stderr: '' }
  child.stdout.on('data', (bytes: Buffer) => (out.stdout += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => (out.stderr += bytes.toString()))
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, ...out }
}

function must(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
}
