/**
 * Credentials as docker keeps them: `auths`, `credHelpers` and `credsStore` of `~/.docker/config.json`. A credential belongs to
 * exactly one host and port; it is never matched by a part of a name.
 */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { AppError, systemCode } from '../../base/errors.ts'

export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token (docker calls it identity token). */
  | { readonly kind: 'identity'; readonly token: string }

/** Docker Hub's credentials are filed under this name for historical reasons (docker login). */
const DOCKER_HUB_KEY = 'https://index.docker.io/v1/'
const MAX_CONFIG_BYTES = 1 << 20
const MAX_HELPER_BYTES = 1 << 20
const HELPER_TIMEOUT_MS = 15_000

/**
 * The credential for a registry, or undefined.
 * @param registry host with port where it has one; `docker.io` for Docker Hub
 * @throws {AppError} invalid when the file or the helper's answer cannot be read; its content is never quoted
 */
export async function findCredential(
  configPath: string,
  registry: string,
  signal: AbortSignal,
): Promise<Credential | undefined> {
  const config = await readConfig(configPath)
  if (config === undefined) return undefined
  const keys = registry === 'docker.io' ? [DOCKER_HUB_KEY, 'docker.io', 'index.docker.io'] : [registry]
  const helpers = entriesOf(config['credHelpers'])
  for (const key of keys) {
    const helper = helpers.get(key)
    if (typeof helper === 'string') return askHelper(helper, key, signal)
  }
  const store = config['credsStore']
  if (typeof store === 'string' && store !== '') {
    const found = await askHelper(store, keys[0]!, signal)
    if (found !== undefined) return found
  }
  for (const [key, value] of entriesOf(config['auths']))
    if (keys.some((wanted) => isFor(key, wanted))) return fromAuth(value)
  return undefined
}

async function readConfig(path: string): Promise<Record<string, unknown> | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined
    throw new AppError('invalid', `Cannot read registry credentials "${path}"`, { cause: error })
  }
  // A JSON error quotes the text around it, which may be a password: it is not kept as cause.
  const value = text.length > MAX_CONFIG_BYTES ? undefined : parseJson(text)
  if (typeof value !== 'object' || value === null)
    throw new AppError(
      'invalid',
      `Cannot read registry credentials "${path}": it is not a JSON object of at most 1 MiB`,
    )
  return value as Record<string, unknown>
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function entriesOf(value: unknown): Map<string, unknown> {
  return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : [])
}

/** A key of `auths` is a host, or a URL whose path says nothing but the version of the API. */
function isFor(key: string, wanted: string): boolean {
  return key === wanted || key.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, '') === wanted
}

function fromAuth(value: unknown): Credential | undefined {
  const fields = entriesOf(value)
  const text = (name: string) => {
    const field = fields.get(name)
    return typeof field === 'string' && field !== '' ? field : undefined
  }
  const identity = text('identitytoken')
  if (identity !== undefined) return { kind: 'identity', token: identity }
  const auth = text('auth')
  if (auth !== undefined) {
    const plain = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
    const colon = plain.indexOf(':')
    return colon < 0 ? undefined : { kind: 'basic', username: plain.slice(0, colon), password: plain.slice(colon + 1) }
  }
  const username = text('username')
  const password = text('password')
  return username === undefined || password === undefined ? undefined : { kind: 'basic', username, password }
}

/** Asks `docker-credential-NAME get`: the server on stdin, JSON on stdout (docker credential helper protocol). */
async function askHelper(name: string, server: string, signal: AbortSignal): Promise<Credential | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$/.test(name))
    throw new AppError('invalid', `Cannot ask credential helper "${name.slice(0, 100)}": that is not a helper's name`)
  const program = `docker-credential-${name}`
  const { status, output } = await runHelper(program, server, signal)
  if (status !== 0) {
    if (/credentials not found/i.test(output)) return undefined
    throw new AppError('unauthorized', `Cannot get credentials for "${server}": ${program} ended with status ${status}`)
  }
  const fields = entriesOf(parseJson(output))
  const username = fields.get('Username')
  const secret = fields.get('Secret')
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw new AppError('unauthorized', `Cannot get credentials for "${server}": ${program} did not answer with JSON`)
  return username === '<token>' ? { kind: 'identity', token: secret } : { kind: 'basic', username, password: secret }
}

function runHelper(
  program: string,
  input: string,
  signal: AbortSignal,
): Promise<{ status: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], signal, timeout: HELPER_TIMEOUT_MS })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      if (output.length > MAX_HELPER_BYTES) child.kill()
    })
    child.stdin.on('error', () => {}) // a helper that does not read its input ends with its own status
    child.on('error', (cause) =>
      reject(
        signal.aborted
          ? cause
          : new AppError('unauthorized', `Cannot get credentials for "${input}": ${program} cannot be run`, { cause }),
      ),
    )
    child.on('close', (status) => resolve({ status, output }))
    child.stdin.end(input)
  })
}
