import type { Register } from '../verbs.ts'
import { register as crawl } from './discover/crawl.ts'
import { register as forget } from './discover/forget.ts'
import { register as take } from './discover/import.ts'
import { register as ls } from './discover/ls.ts'
import { register as scan } from './discover/scan.ts'
import { register as fromFile } from './discover/static.ts'

export const register: Register = (program, session) => {
  const discover = program.command('discover').summary('make machines known')
  for (const register of [fromFile, scan, crawl, take, ls, forget]) register(discover, session)
  return discover
}
