import type { Arch } from '../../model/machine.ts'
import type { BootFile } from '../boot/boot.ts'

/** What the agent is booted from. */
export interface AgentKit {
  readonly kernel: BootFile
  readonly initrd: BootFile
  /** Programs that the initrd does without, which the agent fetches. */
  readonly tools: BootFile
}

/** The kit for an architecture; undefined where there is none, or one that is older than the agent. */
export type AgentKitOf = (arch: Arch) => Promise<AgentKit | undefined>
