/** A real docker-registry on loopback for tests, and skopeo to fill it. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { poll } from '../../src/base/clock.ts'

export interface RegistryOptions {
  /** Passwords by user: HTTP basic authentication. */
  readonly users?: Readonly<Record<string, string>>
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** A token server's realm, service and certificate file. */
  readonly token?: {
    readonly realm: string
    readonly service: string
    readonly issuer: string
    readonly bundle: string
  }
}

export interface RunningRegistry extends AsyncDisposable {
  readonly port: number
  /** `127.0.0.1:port` */
  readonly host: string
  readonly pid: number
  readonly directory: string
}

/** The name of the first program that is not there; undefined when all are. */
export function missingProgram(...names: string[]): string | undefined {
  return names.find((name) => spawnSync('sh', ['-c', 'command -v "$1"', 'sh', name]).status !== 0)
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no port')
  return address.port
}

export async function startRegistry({ users, tls, token }: RegistryOptions = {}): Promise<RunningRegistry> {
  const directory = mkdtempSync(join(tmpdir(), 'bareboat-registry-'))
  const port = await freePort()
  const config: Record<string, unknown> = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'data') } },
    http: { addr: `127.0.0.1:${port}`, ...(tls === undefined ? {} : { tls }) },
  }
  if (users !== undefined) {
    const file = join(directory, 'htpasswd')
    writeFileSync(
      file,
      Object.entries(users)
        .map(([name, password]) => `${name}:${bcrypt(password)}\n`)
        .join(''),
    )
    config['auth'] = { htpasswd: { realm: 'test', path: file } }
  }
  if (token !== undefined)
    config['auth'] = {
      token: { realm: token.realm, service: token.service, issuer: token.issuer, rootcertbundle: token.bundle },
    }
  // JSON is YAML too.
  writeFileSync(join(directory, 'config.yml'), JSON.stringify(config))
  const child = spawn('docker-registry', ['serve', join(directory, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said = (said + String(text)).slice(-2000)))
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const up = await poll(() => isListening(port), { everyMs: 20, deadlineMs: 15_000 })
  if (up !== true) {
    child.kill('SIGKILL')
    throw new Error(`docker-registry does not come up: ${said}`)
  }
  return {
    port,
    host: `127.0.0.1:${port}`,
    pid: child.pid!,
    directory,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function isListening(port: number): Promise<true | undefined> {
  const { connect } = await import('node:net')
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(undefined))
  })
}

/** libxcrypt's bcrypt; the password on stdin. */
function bcrypt(password: string): string {
  const script = 'print(crypt(<STDIN>, q($2b$05$) . q(abcdefghijklmnopqrstuu)))'
  const { stdout, status } = spawnSync('perl', ['-e', script], { input: password, encoding: 'utf8' })
  if (status !== 0 || !stdout.startsWith('$2b$')) throw new Error('perl knows no bcrypt here')
  return stdout
}

/** Runs a program to its end. @throws when it fails, with what it said */
export function run(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 64 << 20 })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}
