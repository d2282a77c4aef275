/** What the HTTP server for machines asks of the product. All of it is plain data, since the server has threads of its own. */
import { AppError } from '../../base/errors.ts'
import type { AgentsService } from '../../services/agents/agents.ts'
import type { BootFile, BootService, FilePiece } from '../../services/boot/boot.ts'
import type { AttachmentsService } from '../../services/media/attachments.ts'
import type { RootFileName } from '../../services/boot/root.ts'

export type BootFileName = 'kernel' | 'initrd' | RootFileName

export type FileName =
  | { readonly room: 'boot'; readonly token: string; readonly name: BootFileName }
  | { readonly room: 'agent'; readonly token: string; readonly name: 'kernel' | 'initrd' | 'tools' }
  /** A medium for a BMC. */
  | { readonly room: 'media'; readonly token: string; readonly name: string }
  /** `client`: the address that asks. */
  | { readonly room: 'loader'; readonly name: string; readonly client: string }

export interface FileFacts {
  readonly sizeBytes: number
  readonly etag?: string
}

export interface BootDesk extends Pick<
  BootService,
  'waiting' | 'script' | 'spec' | 'stage' | 'failed' | 'filled' | 'exit' | 'kernelLoaded'
> {
  agentSpec: AgentsService['spec']
  agentReport: AgentsService['report']
  agentOrder: AgentsService['order']
  agentWiped: AgentsService['wiped']
  agentFailed(...words: Parameters<AgentsService['failed']>): Promise<void>
  /** @throws {AppError} not_found, conflict */
  file(name: FileName): Promise<FileFacts>
  /** What bytes `from` (inclusive) to `to` (exclusive) of it are. @throws {AppError} not_found, conflict */
  pieces(name: FileName, from: number, to: number): Promise<readonly FilePiece[]>
}

/**
 * @param loader loaders for UEFI HTTP boot, by name and the address that asks
 * @param media what is attached to machines
 */
export function createBootDesk(
  boot: BootService,
  agents: AgentsService,
  loader: (name: string, client: string) => BootFile | undefined,
  media: Pick<AttachmentsService, 'file'>,
): BootDesk {
  async function open(name: FileName): Promise<BootFile> {
    if (name.room === 'boot') return boot.file(name.token, name.name)
    if (name.room === 'agent') return agents.file(name.token, name.name)
    if (name.room === 'media') return media.file(name.token, name.name)
    const file = loader(name.name, name.client)
    if (file === undefined) throw new AppError('not_found', 'Cannot find what this address stood for')
    return file
  }
  return {
    waiting: boot.waiting,
    script: boot.script,
    spec: boot.spec,
    stage: boot.stage,
    failed: boot.failed,
    filled: boot.filled,
    exit: boot.exit,
    kernelLoaded: boot.kernelLoaded,
    agentSpec: agents.spec,
    agentReport: agents.report,
    agentOrder: agents.order,
    agentWiped: agents.wiped,
    agentFailed: async (...words) => agents.failed(...words),
    async file(name) {
      const { sizeBytes, etag } = await open(name)
      return { sizeBytes, ...(etag === undefined ? {} : { etag }) }
    },
    async pieces(name, from, to) {
      const file = await open(name)
      return file.pieces(from, to)
    },
  }
}
