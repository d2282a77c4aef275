/** What machines are started from: files of the kits, or ones that were imported. */
import { AppError } from '../base/errors.ts'
import { fileAt } from '../drivers/boot-files.ts'
import { ROOTFS_KINDS } from '../model/rootfs.ts'
import type { Kits } from '../services/kits/kits.ts'
import { hasAgentMode, rootfsKindsOf } from '../services/kits/rootfs-kinds.ts'

/** Kernel and initrd: those of the default kit for the architecture, or imported ones. */
export async function bootFiles(kits: Kits, arch: string, kernel: string | undefined, initrd: string | undefined) {
  const kit = kernel !== undefined && initrd !== undefined ? undefined : await kits.open('default', arch)
  // Nobody knows what a site's own kernel or initrd can do: what is asked for is tried.
  const isOwn = kernel !== undefined || initrd !== undefined
  const kinds = isOwn ? new Set(ROOTFS_KINDS) : rootfsKindsOf(kit!.manifest)
  return {
    rootfsKinds: kinds,
    rootfsDefault: !isOwn && kinds.has('lazy') ? ('lazy' as const) : ('ram' as const),
    kernel: await fileAt(kernel === undefined ? kit!.kernelPath : await kits.imported('kernel', kernel)),
    initrd: await fileAt(initrd === undefined ? kit!.initrdPath : await kits.imported('initrd', initrd)),
  }
}

/** What the agent is booted from: the default kit for the architecture, where it has the agent. */
export async function agentKit(kits: Kits, arch: string) {
  const kit = await kits.open('default', arch).catch((error: unknown) => {
    if (error instanceof AppError && error.code === 'not_found') return undefined
    throw error
  })
  if (!kit || !hasAgentMode(kit.manifest) || kit.agentToolsPath === undefined) return undefined
  return {
    kernel: await fileAt(kit.kernelPath),
    initrd: await fileAt(kit.initrdPath),
    tools: await fileAt(kit.agentToolsPath),
  }
}
