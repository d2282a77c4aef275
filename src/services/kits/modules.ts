/** Which modules a kit carries and the indexes that modprobe reads, made from the modules themselves (no depmod). Pure. */
import { moduleName, type ModuleInfo } from '../../formats/elf/modinfo.ts'

export interface FoundModule {
  /** Relative to /lib/modules/RELEASE, e.g. `kernel/drivers/net/tun.ko`. */
  readonly path: string
  readonly info: ModuleInfo
}

/**
 * In the order in which they can be loaded: what a module needs stands before it.
 * @param load gives a module by name, or undefined where the kernel has it built in or not at all
 */
export async function moduleClosure<T extends FoundModule>(
  wanted: readonly string[],
  load: (name: string) => Promise<T | undefined>,
): Promise<T[]> {
  const ordered: T[] = []
  const seen = new Set<string>()
  const visit = async (name: string): Promise<void> => {
    if (seen.has(name)) return
    seen.add(name)
    const found = await load(name)
    if (!found) return
    for (const needed of [...found.info.depends, ...softDependencies(found.info)]) await visit(needed)
    ordered.push(found)
  }
  for (const name of wanted) await visit(moduleName(name))
  return ordered
}

/** modules.dep, modules.alias and modules.softdep of kmod: text files that busybox's modprobe reads. */
export function moduleIndexes(modules: readonly FoundModule[]): Map<string, string> {
  const byName = new Map(modules.map((m) => [m.info.name, m]))
  const sorted = modules.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const lines = (of: (m: FoundModule) => string[]): string =>
    sorted
      .flatMap(of)
      .map((line) => `${line}\n`)
      .join('')
  return new Map([
    [
      'modules.dep',
      lines((m) => [
        `${m.path}:${dependencyPaths(m, byName)
          .map((path) => ` ${path}`)
          .join('')}`,
      ]),
    ],
    ['modules.alias', lines((m) => m.info.aliases.map((alias) => `alias ${alias} ${m.info.name}`))],
    ['modules.softdep', lines((m) => m.info.softdeps.map((text) => `softdep ${m.info.name} ${text}`))],
  ])
}

/** Of these modules the named ones and all that they need. */
export function neededBy<T extends FoundModule>(names: readonly string[], modules: readonly T[]): T[] {
  const byName = new Map(modules.map((m) => [m.info.name, m]))
  const needed = new Set<T>()
  const visit = (name: string): void => {
    const found = byName.get(name)
    if (!found || needed.has(found)) return
    needed.add(found)
    found.info.depends.forEach(visit)
  }
  names.forEach(visit)
  return [...needed]
}

/** modprobe loads a line of modules.dep from its end, so what is needed first stands last. */
function dependencyPaths(module: FoundModule, byName: ReadonlyMap<string, FoundModule>): string[] {
  const order: string[] = []
  const visit = (m: FoundModule): void => {
    for (const name of m.info.depends) {
      const needed = byName.get(name)
      if (!needed || order.includes(needed.path) || needed === module) continue
      visit(needed)
      order.push(needed.path)
    }
  }
  visit(module)
  return order.toReversed()
}

function softDependencies(info: ModuleInfo): string[] {
  return info.softdeps
    .flatMap((text) => text.split(/\s+/))
    .filter((word) => word !== '' && !word.endsWith(':'))
    .map(moduleName)
}
