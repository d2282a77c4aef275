import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { resolve } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'
import { collect, example } from '../option.ts'
import { writeAtimes } from '../run/atimes.ts'
import { followRun } from '../run/foreground.ts'
import { toRequest, type RunFlags } from '../run/request.ts'
import type { Session } from '../session.ts'
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../terminal/keys.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('run')
    .summary('run an image on a machine')
    .description(
      "Runs an image on a free machine: switches the machine on, boots it into the image, and shows what the workload prints.\nThe exit code is the workload's, or 125 when bareboat failed before.",
    )
    .argument('<image>', 'reference of the image')
    .argument('[command...]', "replaces the image's command")
    .passThroughOptions()
    .option('-d, --detach', 'do not wait; print the id of the container')
    .option('-i, --interactive', 'keep standard input open')
    .option('-t, --tty', 'give the workload a terminal')
    .option('--name <name>', 'name of the container')
    .option('--machine <machine>', 'run on this machine: name, id, xname, nid:N or MAC')
    .option('--group <group>', 'run on a machine of this group')
    .option(
      '--rank <expression>',
      "run on a machine of this rank: any, 'eq N', 'ge N', 'le N' (repeatable)",
      collect,
      [],
    )
    .option(
      '-e, --env <key=value>',
      'environment variable; KEY alone takes its value from here (repeatable)',
      collect,
      [],
    )
    .option('--env-file <file>', 'read environment variables from a file (repeatable)', collect, [])
    .option('-w, --workdir <dir>', 'working directory')
    .option('-u, --user <user>', 'NAME|UID[:GROUP|GID]')
    .option('--entrypoint <program>', "replaces the image's entrypoint")
    .option('-h, --hostname <name>', 'host name')
    .option('--kernel <name>', "an imported kernel instead of the kit's")
    .option('--initrd <name>', "an imported initrd instead of the kit's")
    .option('--kernel-param <param>', 'kernel parameter (repeatable)', collect, [])
    .option(
      '--rootfs <kind>',
      'lazy: blocks fetched as they are touched; ram: unpacked into memory; image: loaded whole; nfs: on the server (default: lazy where the kit can do it)',
    )
    .option('--image-format <format>', 'what --rootfs image loads: erofs or squashfs')
    .option('--fill', 'with --rootfs lazy: fetch the rest while it runs, after which the server may go away')
    .option('--fstype <kind>', 'the same by the names of the Bare Metal Container manual: nfs, ramfs, isofs')
    .option('--reset-atime', 'with --rootfs nfs: list the files that are read, in ID-atime.out when the run ends')
    .option('--cidfile <file>', 'write the id of the container to a file that does not exist yet')
    .option('--via <way>', 'start the machine from the network, or from media: a loader in a virtual drive of its BMC')
    .option('--early <when>', 'power on before the image is ready: auto, true, false')
    .option('--timeout <seconds>', 'from run to running')
    .option('--rm', 'remove the container when it has exited')
    .option('--restart <policy>', 'no, on-failure[:N] or always')
    .option('-l, --label <key=value>', 'label (repeatable)', collect, [])
    .option('--pull <policy>', 'missing, always or never')
    .option('--stop-timeout <seconds>', 'how long a stop may take before the machine is switched off')
    .option('--platform <platform>', 'platform of the image, e.g. linux/arm64')
    .option('--detach-keys <keys>', 'keys that detach from a terminal', DEFAULT_DETACH_KEYS)
    .option('-q, --quiet', 'do not show the progress of the boot')
    .option('--json', 'with -d the container as JSON, else the events of the boot as JSON lines on stderr')
    .addHelpText(
      'after',
      example('bareboat run --rm -it -e TERM alpine sh', 'bareboat run -d --name web --group rack1 nginx'),
    )
    .action(async (image: string, command: string[], flags: RunFlags) => {
      session.exitCode = await run(session, image, command, flags)
    })

async function run(session: Session, image: string, command: string[], flags: RunFlags): Promise<number> {
  parseDetachKeys(flags.detachKeys)
  const request = toRequest(image, command, flags, session.io)
  using idFile = flags.cidfile === undefined ? undefined : createIdFile(resolve(session.io.cwd, flags.cidfile))
  const container = await session.client().containers.create(request, { signal: session.signal })
  idFile?.keep(container.id)
  if (flags.detach !== true) {
    const code = await followRun(session, container, flags)
    if (flags.resetAtime === true) await writeAtimes(session, container, flags.quiet === true)
    return code
  }
  if (flags.json === true) await session.printJson(container)
  else await session.printLines([container.id])
  return 0
}

/** A new file for the id; it goes again when no container came to be. */
function createIdFile(path: string): Disposable & { keep(id: string): void } {
  let fd: number
  try {
    fd = openSync(path, 'wx', 0o644)
  } catch (cause) {
    const why =
      systemCode(cause) === 'EEXIST'
        ? 'it exists; is the other container still running? delete it if not'
        : (systemCode(cause) ?? 'it cannot be created')
    throw new AppError('invalid', `Cannot write container id file "${path}": ${why}`, { cause })
  }
  let isKept = false
  return {
    keep(id) {
      writeSync(fd, id)
      isKept = true
    },
    [Symbol.dispose]() {
      closeSync(fd)
      if (!isKept) rmSync(path, { force: true })
    },
  }
}
