import type { Register } from '../../verbs.ts'
import { register as check } from './bmc/check.ts'
import { register as fru } from './bmc/fru.ts'
import { register as identify } from './bmc/identify.ts'
import { register as info } from './bmc/info.ts'
import { register as record } from './bmc/record.ts'
import { register as replay } from './bmc/replay.ts'
import { register as sel } from './bmc/sel.ts'
import { register as sensors } from './bmc/sensors.ts'
import { register as setup } from './bmc/setup.ts'
import { register as users } from './bmc/users.ts'

export const register: Register = (program, session) => {
  const bmc = program.command('bmc').summary("ask a machine's BMC what it knows, or set it up")
  for (const register of [info, sensors, fru, sel, identify, users, check, record, replay, setup])
    register(bmc, session)
  return bmc
}
