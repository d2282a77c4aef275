import { createReadStream, statSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { AppError, systemCode } from '../../../base/errors.ts'
import { mediaFormats, mediumKinds, type AttachedMedium, type AttachOptions } from '../../../model/media.ts'
import { collect, example, JSON_OPTION } from '../../option.ts'
import { defined, oneOf, seconds } from '../../run/request.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'
import { pairOf, type PairFlags } from './pair.ts'

interface Flags extends PairFlags {
  boot?: boolean
  cycle?: boolean
  rw?: boolean
  as?: string
  drive?: string
  format?: string
  label?: string
  loader?: boolean
  expires?: string
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('attach')
    .summary('show a medium to a machine as a drive')
    .description(
      'Puts a medium into a virtual drive of the machine\'s BMC, and returns when the BMC shows it there: a file as it is, or what "media build" would make of an image. What is in the drive already is named, and stays. The medium is taken out by "media detach", or when its time is over.',
    )
    .argument('<machine>', 'name or id')
    .argument('[image-or-path]', 'an image; or a path, which begins with / or .: a file')
    .option('--boot', 'boot from it once: the machine, which has to be off, is switched on')
    .option('--cycle', 'with --boot: also a machine that is on, which is switched off first')
    .option('--rw', 'the machine may write to it; what it writes is not kept here')
    .option('--as <kind>', 'what it is to the machine: cd or usb; else what it looks like')
    .option('--drive <id>', 'of the BMC, as "media ls" shows it; else the first that is empty and plays it')
    .option('--format <format>', `of an image: ${mediaFormats.join(', ')} (default: iso)`)
    .option('--label <label>', 'of its file system (default: BAREBOAT)')
    .option('--loader', 'the small medium that asks the server what the machine is to be')
    .option('--kernel <kernel>', 'an imported kernel, with --initrd')
    .option('--initrd <initrd>', 'an imported initrd')
    .option('--kernel-param <parameter>', 'for the imported kernel (repeatable)', collect, [])
    .option('--expires <duration>', 'take it out by itself after this (default: 24h)')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example(
        'bareboat media attach rack1-07 ./debian.iso --boot',
        'bareboat media attach rack1-07 my/debian:12 --boot --cycle',
        'bareboat media attach desk8 ./tools.img --rw --expires 2h',
      ),
    )
    .action(async (machine: string, source: string | undefined, flags: Flags) => {
      const medium = await attach(session, machine, source, flags)
      if (flags.json === true) return session.printJson(medium)
      return session.printLines([`${medium.name} is in drive ${medium.drive} of ${machine}, as ${medium.kind}`])
    })

async function attach(
  session: Session,
  machine: string,
  source: string | undefined,
  flags: Flags,
): Promise<AttachedMedium> {
  const { machines } = session.client()
  const signal = { signal: session.signal }
  const options: Partial<AttachOptions> = defined({
    boot: flags.boot,
    cycle: flags.cycle,
    isWritable: flags.rw,
    kind: oneOf('--as', flags.as, mediumKinds),
    drive: flags.drive,
    expiresSeconds: seconds('--expires', flags.expires),
  })
  if (flags.cycle === true && flags.boot !== true)
    throw new AppError(
      'invalid',
      'Cannot use --cycle without --boot: it switches a machine off to boot it from the medium',
    )
  const pair = pairOf(flags)
  const given = [source !== undefined && 'a source', flags.loader === true && '--loader', pair && '--kernel'].filter(
    Boolean,
  )
  if (given.length !== 1)
    throw new AppError(
      'invalid',
      given.length === 0
        ? `Cannot attach a medium to "${machine}": name an image or a path, or give --loader or --kernel`
        : `Cannot attach ${given.join(' and ')} at once`,
    )
  if (source !== undefined && /^[/.]/.test(source)) {
    if (flags.format !== undefined || flags.label !== undefined)
      throw new AppError('invalid', `Cannot give "${source}" a format or a label: a file is shown as it is`)
    const path = resolve(session.io.cwd, source)
    refuseNoFile(source, path)
    const file = createReadStream(path, { highWaterMark: 1 << 20 })
    return machines.attachFile(machine, file, { ...options, name: basename(path) }, signal)
  }
  const request = {
    ...options,
    ...defined({ format: oneOf('--format', flags.format, mediaFormats), label: flags.label }),
    source: pair ? { pair } : source === undefined ? { loader: true as const } : { image: source },
  }
  return machines.attach(machine, request, signal)
}

function refuseNoFile(named: string, path: string): void {
  const cannot = `Cannot attach "${named}"`
  try {
    if (statSync(path).isFile()) return
  } catch (cause) {
    const code = systemCode(cause)
    const why = code === 'ENOENT' ? 'there is no such file' : (code ?? String(cause))
    throw new AppError('invalid', `${cannot}: ${why}`, { cause })
  }
  throw new AppError('invalid', `${cannot}: it is no file; make a medium of a directory with: bareboat media build`)
}
