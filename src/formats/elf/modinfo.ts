/** The `.modinfo` section of a Linux module: what modprobe has to know of it (include/linux/module.h, kmod's modules.*). */
import { WireError } from '../../base/errors.ts'
import { parseElf } from './elf.ts'

export interface ModuleInfo {
  /** With underscores, as the kernel names it. */
  readonly name: string
  /** Names of the modules that it needs symbols of. */
  readonly depends: readonly string[]
  /** Patterns of device ids (`pci:v00008086d…`) and other names that load it. */
  readonly aliases: readonly string[]
  /** Files under /lib/firmware that it may ask for. */
  readonly firmware: readonly string[]
  /** `pre: a b post: c`: loaded with it where they exist. */
  readonly softdeps: readonly string[]
  /** The kernel release and options that it was built for. */
  readonly vermagic: string
}

/** @throws {WireError} when it is no ELF, or has no `.modinfo` section with a name in it */
export function parseModule(bytes: Uint8Array): ModuleInfo {
  const section = parseElf(bytes).sections.get('.modinfo')
  if (!section) throw new WireError('kernel module', 'it has no .modinfo section')
  const fields = parseModinfo(section)
  const all = (key: string): string[] => fields.filter(([k]) => k === key).map(([, value]) => value)
  const name = all('name')[0]
  if (!name) throw new WireError('kernel module', 'its .modinfo has no name')
  return {
    name: moduleName(name),
    depends: all('depends').flatMap((list) =>
      list
        .split(',')
        .filter((n) => n !== '')
        .map(moduleName),
    ),
    aliases: all('alias'),
    firmware: all('firmware'),
    softdeps: all('softdep'),
    vermagic: all('vermagic')[0] ?? '',
  }
}

/** NUL-terminated `key=value` strings, in their order; strings without `=` are skipped. */
export function parseModinfo(section: Uint8Array): [key: string, value: string][] {
  return new TextDecoder('latin1')
    .decode(section)
    .split('\0')
    .map((line) => [line.indexOf('='), line] as const)
    .filter(([at]) => at > 0)
    .map(([at, line]) => [line.slice(0, at), line.slice(at + 1)])
}

/** `snd-hda` and `snd_hda` are one module: the name with underscores. */
export function moduleName(name: string): string {
  return name.replaceAll('-', '_')
}
