/** Which kinds of root a kit can make: decided by what its kernel and its initrd have. */
import type { RootfsKind } from '../../model/rootfs.ts'
import type { KitManifest } from './build.ts'

/** Since this recipe the initrd has the programs and scripts for more than a root in memory. */
const RECIPE_OF_DEVICES = 3

/** Modules that each kind needs; built in will do. */
const NEEDS: Readonly<Record<RootfsKind, readonly string[]>> = {
  ram: [],
  lazy: ['nbd', 'dm_mod', 'dm_multipath', 'dm_service_time', 'dm_verity', 'erofs', 'overlay'],
  image: ['loop', 'dm_mod', 'dm_verity', 'erofs', 'squashfs', 'overlay'],
  nfs: ['nfs', 'nfsv4'],
}

export function rootfsKindsOf({
  recipe,
  modulesMissing,
}: Pick<KitManifest, 'recipe' | 'modulesMissing'>): Set<RootfsKind> {
  if (recipe < RECIPE_OF_DEVICES) return new Set(['ram'])
  const missing = new Set(modulesMissing)
  const kinds = Object.entries(NEEDS) as [RootfsKind, readonly string[]][]
  return new Set(kinds.filter(([, modules]) => !modules.some((name) => missing.has(name))).map(([kind]) => kind))
}

/** Since this recipe the initrd reports hardware, lets the server in, and waits for orders where it has no container to run. */
const RECIPE_OF_AGENT = 5

export function hasAgentMode({ recipe }: Pick<KitManifest, 'recipe'>): boolean {
  return recipe >= RECIPE_OF_AGENT
}
