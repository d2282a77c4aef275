import type { Register } from '../verbs.ts'
import { register as console } from './rack/console.ts'
import { register as down } from './rack/down.ts'
import { register as exec } from './rack/exec.ts'
import { register as ls } from './rack/ls.ts'
import { register as media } from './rack/media.ts'
import { registerMains } from './rack/mains.ts'
import { register as up } from './rack/up.ts'

export const register: Register = (program, session) => {
  const rack = program
    .command('rack')
    .summary('virtual machines with BMCs, for trying things out')
    .enablePositionalOptions()
  for (const register of [up, ls, console, media, down]) register(rack, session)
  registerMains(rack, session, 'plug')
  registerMains(rack, session, 'unplug')
  exec(rack, session)
  return rack
}
