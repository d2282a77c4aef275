import type { Register } from '../verbs.ts'
import { register as fromFile } from './discover/static.ts'

export const register: Register = (program, session) => {
  const discover = program.command('discover').summary('make machines known')
  for (const register of [fromFile]) register(discover, session)
  return discover
}
