import type { Register } from '../verbs.ts'
import { register as check } from './system/check.ts'
import { register as df } from './system/df.ts'
import { register as prune } from './system/prune.ts'

export const register: Register = (program, session) => {
  const system = program.command('system').summary("look after the server's store")
  for (const add of [df, prune, check]) add(system, session)
  return system
}
