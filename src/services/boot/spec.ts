/**
 * What a machine is told when its initrd asks: a fragment that a POSIX shell sources. guest/init is its only reader; every
 * value is one quoted word, whatever bytes it has.
 */
import { fromHex } from '../../base/bytes.ts'
import { assignments, quoteWords } from '../../formats/shell/quote.ts'
import { dropbearPrivateKey, type Ed25519Key } from '../../formats/ssh/keys.ts'
import type { Container } from '../../model/container.ts'
import type { Boot } from './ports.ts'

/** TCP port of the agent's SSH server; 22 stays free for the image's own. */
export const AGENT_PORT = 1622

export interface WorkloadSpec {
  readonly mode: 'app' | 'os'
  readonly argv: readonly string[]
  readonly env: readonly string[]
  readonly workdir: string
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

/** What a boot is told of, beside its container and its secrets. */
export interface SpecParts {
  readonly workload: WorkloadSpec
  /** How its root is made: see rootVariables. */
  readonly root: Readonly<Record<string, string>>
}

export function renderSpec(container: Container, boot: Boot, { workload, root }: SpecParts): string {
  const { options } = container
  const hostKey = { seed: fromHex(boot.hostKeySeed), publicKey: fromHex(boot.hostKeyPublic) }
  return assignments({
    BB_ID: container.id,
    BB_NAME: container.name,
    BB_MODE: workload.mode,
    ...root,
    BB_HOSTNAME: hostnameOf(container),
    BB_INIT: workload.argv[0]!,
    BB_TTY: options.tty ? '1' : '0',
    BB_STDIN: options.stdin ? '1' : '0',
    BB_WORKDIR: workload.workdir,
    BB_UID: String(workload.uid),
    BB_GID: String(workload.gid),
    BB_GROUPS: workload.groups.join(','),
    BB_ARGV: quoteWords(workload.argv),
    BB_ENV: quoteWords(withHostname(workload.env, container)),
    ...sshVariables(hostKey, boot.clientPublic),
  })
}

/** Who the machine's SSH server is, and who may log in. @param clientPublic a line of authorized_keys */
export function sshVariables(hostKey: Ed25519Key, clientPublic: string) {
  return {
    BB_SSH_PORT: String(AGENT_PORT),
    BB_SSH_HOST_KEY: Buffer.from(dropbearPrivateKey(hostKey)).toString('base64'),
    BB_SSH_AUTHORIZED: clientPublic,
  }
}

/** As docker: the first twelve digits of the id, unless a name was asked for. */
export function hostnameOf(container: Container): string {
  return container.options.hostname ?? container.id.slice(0, 12)
}

function withHostname(env: readonly string[], container: Container): string[] {
  return env.some((pair) => pair.startsWith('HOSTNAME=')) ? [...env] : [...env, `HOSTNAME=${hostnameOf(container)}`]
}
