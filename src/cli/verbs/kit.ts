import type { Register } from '../verbs.ts'
import { register as build } from './kit/build.ts'
import { registerImport, registerRemove } from './kit/files.ts'
import { register as inspect } from './kit/inspect.ts'
import { register as ls } from './kit/ls.ts'
import { register as rm } from './kit/rm.ts'

export const register: Register = (program, session) => {
  const kit = program
    .command('kit')
    .summary('work with kits (kernel, modules and guest tools) and imported kernels and initrds')
  for (const register of [build, ls, inspect, rm]) register(kit, session)
  for (const kind of ['kernel', 'initrd'] as const) registerImport(kit, session, kind)
  for (const kind of ['kernel', 'initrd'] as const) registerRemove(kit, session, kind)
  return kit
}
