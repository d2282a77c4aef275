/**
 * What a booting machine asks for and tells: which script is its own, the files under its token, how far it has come. The
 * servers for DHCP, TFTP and HTTP are thin loops around this.
 */
import { randomBytes } from 'node:crypto'
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { generateKey, keyToHex, opensshPrivateKey, publicKeyLine } from '../../formats/ssh/keys.ts'
import { LIVE, type Container } from '../../model/container.ts'
import type { Arch } from '../../model/machine.ts'
import { isBefore, type Stage } from '../../model/stage.ts'
import type { AgentsService } from '../agents/agents.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { Boot, BootStore } from './ports.ts'
import { rootFile, rootParams, rootVariables, type BootRoot, type NbdAddress, type RootFileName } from './root.ts'
import { containerScript, preparingScript, waitingScript, type BootScript } from './scripts.ts'
import { scriptText, type ScriptLanguage } from './script-text.ts'
import { renderSpec, type WorkloadSpec } from './spec.ts'

/** A file that a machine loads. Who sends it reads its pieces, in another thread. */
export interface BootFile {
  readonly sizeBytes: number
  /** Stands for the bytes: equal only where they are. Undefined where nobody needs to know. */
  readonly etag?: string
  /** What bytes `from` (inclusive) to `to` (exclusive) are, in order. */
  pieces(from: number, to: number): readonly FilePiece[] | Promise<readonly FilePiece[]>
}

export type FilePiece =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'file'; readonly path: string; readonly offset: number; readonly length: number }
  | { readonly kind: 'zeros'; readonly length: number }

/** What must be ready before a machine may load a container. */
export interface Prepared {
  readonly workload: WorkloadSpec
  readonly kernel: BootFile
  readonly initrd: BootFile
  readonly root: BootRoot
  readonly kernelParams: readonly string[]
}

/** Whom the boot service tells what machines report. */
export interface BootReports {
  stage(containerId: string, stage: Stage, source: string, attributes?: Readonly<Record<string, string>>): Promise<void>
  failed(containerId: string, stage: string, cause: string): Promise<void>
  exit(containerId: string, exitCode: number): Promise<void>
  /** The machine has the whole image, and needs its root from nobody any more. */
  filled(containerId: string): Promise<void>
  /** What a machine says of itself. */
  facts(machineId: string, facts: { memoryMiB?: number; firmware?: 'bios' | 'uefi' }): Promise<void>
}

export interface BootDeps {
  readonly log: Log
  readonly boots: BootStore
  readonly machineByMac: (mac: string) => Promise<StoredMachine | undefined>
  readonly machineById: (machineId: string) => Promise<StoredMachine | undefined>
  readonly containerById: (containerId: string) => Promise<Container | undefined>
  /** Undefined while it is still being made ready. */
  readonly preparedOf: (container: Container) => Promise<Prepared | undefined>
  readonly reports: BootReports
  /** For machines that nobody has accepted yet. */
  readonly agents: Pick<AgentsService, 'script' | 'sighted'>
  /** Runs when a boot was opened or ended, before anything is done with it. */
  readonly onBootChange: () => Promise<void>
  /** Runs before a boot is ended. */
  readonly onBootEnding: (containerId: string) => Promise<void>
  /** Runs when a boot is over: whoever still holds something open in its name is sent away. */
  readonly onBootEnd: (token: string) => void
  readonly nbd: NbdAddress
  /** Where machines reach the HTTP server for firmware: `http://172.29.0.1:8080`. */
  readonly httpUrl: string
  readonly now: () => number
}

/** The longest cause that a machine may give for its failure, characters. */
const MAX_CAUSE = 2000
const REPORTED_STAGES: ReadonlySet<string> = new Set<Stage>(['initrd', 'rootfs', 'init', 'running'])

export type BootService = ReturnType<typeof createBoot>

export function createBoot(deps: BootDeps) {
  const { boots, log, reports } = deps

  /** The live boot of a token with all that belongs to it. @throws {AppError} not_found, in equal words for every token that opens nothing */
  async function live(token: string) {
    const boot = await boots.byToken(token)
    const container = boot && (await deps.containerById(boot.containerId))
    const machine = boot && (await deps.machineById(boot.machineId))
    if (!boot || !container || !machine || !LIVE.includes(container.state))
      throw new AppError('not_found', 'Cannot find what this address stood for')
    return { boot, container, machine }
  }

  async function prepared(token: string) {
    const found = await live(token)
    const ready = await deps.preparedOf(found.container)
    if (!ready)
      throw new AppError('conflict', `Cannot serve container "${found.container.name}": its image is not ready`)
    return { ...found, prepared: ready }
  }

  async function script(token: string, mac: string): Promise<BootScript> {
    const { boot, container, machine } = await live(token)
    if (!machine.macs.includes(mac)) throw new AppError('not_found', 'Cannot find what this address stood for')
    const ready = await deps.preparedOf(container)
    if (!ready) return preparingScript(machine.name, ownUrl(token, mac))
    await reports.stage(container.id, 'ipxe', 'boot', { mac })
    return containerScript({
      containerName: container.name,
      containerId: container.id,
      machineName: machine.name,
      baseUrl: `${deps.httpUrl}/boot/${boot.token}`,
      scriptUrl: ownUrl(token, mac),
      mac,
      kernelParams: [...rootParams(ready.root), ...ready.kernelParams],
    })
  }

  return {
    /** Opens a boot of a machine for a container, with secrets of its own; an older one of the machine ends. */
    async open(containerId: string, machineId: string): Promise<Boot> {
      const hostKey = keyToHex(generateKey())
      const client = generateKey()
      const boot: Boot = {
        token: randomBytes(32).toString('base64url'),
        containerId,
        machineId,
        hostKeySeed: hostKey.seed,
        hostKeyPublic: hostKey.publicKey,
        clientKey: opensshPrivateKey(client),
        clientPublic: publicKeyLine(client.publicKey),
        createdAt: deps.now(),
      }
      const older = await boots.openOf(machineId)
      await boots.open(boot)
      if (older) deps.onBootEnd(older.token)
      await deps.onBootChange()
      return boot
    },

    /** From now on the boot's token opens nothing. */
    async end(token: string): Promise<void> {
      const boot = await boots.byToken(token)
      if (boot) await deps.onBootEnding(boot.containerId)
      await boots.end(token)
      deps.onBootEnd(token)
      await deps.onBootChange()
    },

    /** The iPXE script of a boot. @throws {AppError} not_found */
    script: async (token: string, mac: string): Promise<string> => scriptText('ipxe', await script(token, mac)),

    /** Where the script of a boot is, for a machine that adds its MAC by itself. */
    scriptUrl: (token: string): string => `${deps.httpUrl}/boot/${token}/script.ipxe`,

    /**
     * For a machine without a boot: its own script after all when it has one by now, or why there is none.
     * @throws {AppError} not_found for one that is disabled
     */
    async waiting(mac: string, language: ScriptLanguage = 'ipxe'): Promise<string> {
      return scriptText(language, await scriptFor(mac))
    },

    /** @throws {AppError} not_found, conflict while the image is not ready */
    async file(token: string, name: 'kernel' | 'initrd' | RootFileName): Promise<BootFile> {
      const { prepared: ready } = await prepared(token)
      const file = name === 'kernel' || name === 'initrd' ? ready[name] : rootFile(ready.root, name)
      if (!file) throw new AppError('not_found', 'Cannot find what this address stood for')
      return file
    },

    /**
     * The device that the token of a boot opens over NBD, for the address that has the orders of this boot and for nobody else.
     * @returns its root hash; undefined where the token opens nothing
     */
    async exported(token: string, address: string): Promise<string | undefined> {
      const boot = await boots.byToken(token)
      const container = boot && (await deps.containerById(boot.containerId))
      if (!container || boot.claimedBy !== address || !LIVE.includes(container.state)) return undefined
      return container.rootfs === 'lazy' ? container.rootHash : undefined
    },

    /** Says that a machine has loaded its kernel. */
    async kernelLoaded(token: string): Promise<void> {
      const { container } = await live(token)
      await reports.stage(container.id, 'kernel', 'boot')
    },

    /**
     * The secrets and orders of a boot. Only the first address that asks gets them, again if it must, until its workload runs.
     * @throws {AppError} not_found for everybody else
     */
    async spec(token: string, address: string): Promise<string> {
      const { boot, container, prepared: ready } = await prepared(token)
      const isOver = container.stage !== undefined && !isBefore(container.stage, 'running')
      if (isOver || !(await boots.claim(token, address))) {
        log.warn('orders of a boot refused', { containerId: container.id, address, why: isOver ? 'it runs' : 'taken' })
        throw new AppError('not_found', 'Cannot find what this address stood for')
      }
      const root = await rootVariables(ready.root, { token, address, nbd: deps.nbd })
      return renderSpec(container, boot, { workload: ready.workload, root })
    },

    /** A stage that the machine itself reports, with the facts that it tells beside it. */
    async stage(token: string, stage: string, facts: { memoryKiB?: number }): Promise<void> {
      const { container, machine } = await live(token)
      if (!REPORTED_STAGES.has(stage)) throw new AppError('invalid', `Cannot record stage "${stage}": there is none`)
      if (facts.memoryKiB !== undefined) {
        const memoryMiB = Math.trunc(facts.memoryKiB / 1024)
        await reports.facts(machine.id, { memoryMiB })
      }
      await reports.stage(container.id, stage as Stage, 'guest')
    },

    /** The machine holds its whole image. */
    async filled(token: string): Promise<void> {
      const { container } = await live(token)
      await reports.filled(container.id)
    },

    async failed(token: string, stage: string, cause: string): Promise<void> {
      const { container } = await live(token)
      const text = cause
        .replace(/[^\x20-\x7e\n]/g, '?')
        .trim()
        .slice(0, MAX_CAUSE)
      await reports.failed(container.id, stage.slice(0, 32), text || 'the machine gave no cause')
    },

    async exit(token: string, exitCode: number): Promise<void> {
      const { container } = await live(token)
      if (!Number.isInteger(exitCode) || exitCode < 0 || exitCode > 255)
        throw new AppError('invalid', `Cannot record exit code "${exitCode}": it is not 0 to 255`)
      await reports.exit(container.id, exitCode)
    },

    /** What DHCP and TFTP saw of a machine. */
    async seen(
      mac: string,
      stage: 'dhcp' | 'tftp',
      facts: { firmware?: 'bios' | 'uefi'; ip?: string; arch?: Arch },
    ): Promise<void> {
      if (facts.arch !== undefined) deps.agents.sighted(mac, facts.arch)
      const machine = await deps.machineByMac(mac)
      if (!machine) return
      if (facts.firmware) await reports.facts(machine.id, { firmware: facts.firmware })
      const boot = await boots.openOf(machine.id)
      if (boot) await reports.stage(boot.containerId, stage, stage, facts.ip === undefined ? {} : { ip: facts.ip })
    },
  }

  async function scriptFor(mac: string): Promise<BootScript> {
    const machine = await deps.machineByMac(mac)
    const boot = machine && (await boots.openOf(machine.id))
    if (machine && !machine.enabled && !boot) throw new AppError('not_found', 'Cannot find what this address stood for')
    if (!machine || machine.admission === 'discovered')
      return (await deps.agents.script(mac, machine, waitingUrl(mac))) ?? unacceptedScript(mac, machine)
    if (machine.admission === 'rejected')
      return waitingScript(
        [`${machine.name} is rejected`, `change that with: bareboat machine accept ${machine.name}`],
        waitingUrl(mac),
      )
    if (boot) return script(boot.token, mac)
    const agent = machine.cordoned ? await deps.agents.script(mac, machine, waitingUrl(mac)) : undefined
    if (agent !== undefined) return agent
    return waitingScript(
      machine.cordoned
        ? [`${machine.name} is cordoned`, `change that with: bareboat machine uncordon ${machine.name}`]
        : [`${machine.name} has no container to boot`, `start one with: bareboat run --machine ${machine.name} IMAGE`],
      waitingUrl(mac),
    )
  }

  function unacceptedScript(mac: string, machine: StoredMachine | undefined): BootScript {
    return waitingScript(
      machine
        ? [`${machine.name} is not accepted yet`, `accept it with: bareboat machine accept ${machine.name}`]
        : [`this machine is unknown here: its MAC is ${mac}`, `add it with: bareboat machine add NAME --mac ${mac}`],
      waitingUrl(mac),
    )
  }

  function ownUrl(token: string, mac: string): string {
    return `${deps.httpUrl}/boot/${token}/script.ipxe?mac=${mac.replaceAll(':', '-')}`
  }

  function waitingUrl(mac: string): string {
    return `${deps.httpUrl}/boot/waiting.ipxe?mac=${mac.replaceAll(':', '-')}`
  }
}
