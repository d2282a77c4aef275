import type { Register } from '../verbs.ts'
import { register as add } from './group/add.ts'
import { register as create } from './group/create.ts'
import { register as remove } from './group/delete.ts'
import { register as ls } from './group/ls.ts'
import { register as rm } from './group/rm.ts'

export const register: Register = (program, session) => {
  const group = program.command('group').summary('work with groups of machines')
  for (const register of [create, ls, add, rm, remove]) register(group, session)
  return group
}
