import type { Register } from '../verbs.ts'
import { register as accept } from './machine/accept.ts'
import { register as add } from './machine/add.ts'
import { register as bmc } from './machine/bmc.ts'
import { register as console } from './machine/console.ts'
import { cordon, reject, uncordon } from './machine/decide.ts'
import { register as exported } from './machine/export.ts'
import { register as inspect } from './machine/inspect.ts'
import { register as inventory } from './machine/inventory.ts'
import { register as ls } from './machine/ls.ts'
import { register as power } from './machine/power.ts'
import { register as reboot } from './machine/reboot.ts'
import { register as rm } from './machine/rm.ts'
import { register as set } from './machine/set.ts'
import { register as shell } from './machine/shell.ts'
import { register as wipe } from './machine/wipe.ts'

export const register: Register = (program, session) => {
  const machine = program.command('machine').summary('work with machines').alias('node')
  const verbs = [
    add,
    ls,
    inspect,
    rm,
    set,
    exported,
    accept,
    reject,
    cordon,
    uncordon,
    inventory,
    power,
    reboot,
    shell,
    wipe,
    bmc,
    console,
  ]
  for (const register of verbs) register(machine, session)
  return machine
}
