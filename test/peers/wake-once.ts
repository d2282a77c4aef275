/** Wakes, or looks whether a machine is there, from the network that it is started in. What came of it is printed. */
import { AppError } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { createWolBmc } from '../../src/drivers/bmc/wol/wol-bmc.ts'
import { presenceOf } from '../../src/drivers/presence/presence.ts'

const [what, options] = process.argv.slice(2)
const given = JSON.parse(options!) as {
  macs: string[]
  broadcast?: string
  password?: string
  ip: string
  port: number
  timeoutMs: number
}
try {
  if (what === 'presence') console.log(await presenceOf(given, given.macs, undefined, given))
  else {
    await using bmc = createWolBmc({ ...given, log: quietLog })
    await bmc.set('on')
  }
} catch (error) {
  if (!(error instanceof AppError)) throw error
  console.log(`${error.code}: ${error.message}`)
}
