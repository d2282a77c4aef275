import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../../base/errors.ts'
import type { Wipe, WipeMethod } from '../../../model/machine.ts'
import { collect, example, JSON_OPTION } from '../../option.ts'
import { humanSize } from '../../output/human.ts'
import { printable } from '../../output/table.ts'
import type { Session } from '../../session.ts'
import { askWord } from '../../terminal/prompt.ts'
import type { Register } from '../../verbs.ts'

interface Flags {
  disk: string[]
  fast?: boolean
  zeroes?: boolean
  secureErase?: boolean
  confirm?: string
  json?: boolean
}

const ASK_EVERY_MS = 1000

export const register: Register = (program, session) =>
  program
    .command('wipe')
    .summary('wipe disks of a machine')
    .description(
      'Has the agent of a machine overwrite disks, one after the other, and read them back; waits until that is over. Nothing may be started on the machine: it is cordoned, or not accepted. Its name has to be typed in confirmation.',
    )
    .argument('<machine>', 'name or id')
    .option('--disk <serial>', 'serial number of a disk, as `machine inventory` shows it (repeatable)', collect, [])
    .option('--fast', 'only where partition tables, file systems and volume managers begin and end (the default)')
    .option('--zeroes', 'every byte of the disk, which takes hours')
    .option('--secure-erase', 'the disk erases itself, with what it keeps aside; refused where it does not offer that')
    .option('--confirm <name>', 'the name of the machine, for scripts that cannot type it')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine wipe rack1-07 --disk WD-WMC1T0123456 --disk S4YPNX0R'))
    .action(async (reference: string, flags: Flags) => {
      if (flags.disk.length === 0)
        throw new AppError('invalid', `Cannot wipe disks of "${reference}": name each one with --disk SERIAL`)
      const methods = (['fast', 'zeroes', 'secure-erase'] as const).filter(
        (each) => flags[each === 'secure-erase' ? 'secureErase' : each] === true,
      )
      if (methods.length > 1)
        throw new AppError(
          'invalid',
          `Cannot wipe disks of "${reference}": ${methods.map((each) => `--${each}`).join(' and ')} exclude each other`,
        )
      const { machines } = session.client()
      const options = { signal: session.signal }
      const { name } = await machines.inspect(reference, options)
      const method: WipeMethod = methods[0] ?? 'fast'
      const confirm = flags.confirm ?? (await typedName(session, name, flags.disk, method))
      const asked = await machines.wipe(name, { disks: flags.disk, method, confirm }, options)
      const ended = await untilEnded(session, name, new Set(asked.map(({ id }) => id)))
      if (flags.json === true) await session.printJson(ended)
      for (const wipe of ended) {
        if (wipe.state === 'failed')
          session.complain(new AppError('bad_peer', `Cannot wipe disk "${wipe.serial}" of "${name}": ${wipe.cause}`))
        else if (flags.json !== true) {
          if (wipe.method === 'secure-erase' && wipe.verified !== undefined)
            session.note(`${printable(wipe.serial)}: ${printable(wipe.verified)}`)
          await session.printLines([wipe.serial])
        }
      }
    })

/** Says what is about to go and has the machine's name typed. */
async function typedName(
  session: Session,
  name: string,
  serials: readonly string[],
  method: WipeMethod,
): Promise<string> {
  const inventories = await session.client().machines.inventories(name, { signal: session.signal })
  const disks = inventories.find(({ source }) => source === 'agent')?.disks ?? []
  const lines = serials.map((serial) => {
    const disk = disks.find((each) => each.serial === serial)
    const size = disk?.sizeBytes === undefined ? undefined : humanSize(disk.sizeBytes)
    return `  ${printable([serial, disk?.name, size, disk?.model].filter((part) => part !== undefined).join('  '))}`
  })
  const question = [
    `${method === 'fast' ? 'What is on' : 'Every byte of'} these disks of ${name} will be lost:`,
    ...lines,
    'Type the name of the machine to go on: ',
  ]
  return askWord(session, question.join('\n'), '--confirm')
}

async function untilEnded(session: Session, name: string, ids: ReadonlySet<string>): Promise<Wipe[]> {
  for (;;) {
    const wipes = await session.client().machines.wipes(name, { signal: session.signal })
    const ours = wipes.filter(({ id }) => ids.has(id))
    if (ours.length < ids.size)
      throw new AppError(
        'conflict',
        `Cannot tell what became of the disks of "${name}": the server was started anew; look at the machine's console`,
      )
    if (ours.every(({ state }) => state === 'done' || state === 'failed')) return ours
    await sleep(ASK_EVERY_MS, undefined, { signal: session.signal })
  }
}
