/**
 * Containers: an image on a machine.
 *
 *   created -begin-> preparing -prepared-> powering -powered-> booting -up-> running -stop-> stopping -off-> exited
 *                       |                     |                   |           |  |               |
 *                       |                     |                   | exit      |  +---- exit -----+
 *                       +---- fail ----------+---- fail ---------+----------+------- fail -------> failed
 *
 *   booting goes back to `powering` by `cycle`, once: a boot whose first steps fell into a time without a server.
 *   exited and failed go back to `preparing` by `restart`. `stop` is legal from every live state, and so is `exit` (the workload
 *   ended, which a slow BMC may show after the fact); both lead to `stopping`, since the machine is switched off before the
 *   container counts as exited.
 */
import { z } from 'zod'
import { arch, labels, name, rankExpression } from './machine.ts'
import { IMAGE_FORMATS, ROOTFS_KINDS } from './rootfs.ts'
import { stage } from './stage.ts'

export const TRANSITIONS = {
  created: { begin: 'preparing', stop: 'stopping', fail: 'failed' },
  preparing: { prepared: 'powering', exit: 'stopping', stop: 'stopping', fail: 'failed' },
  powering: { powered: 'booting', exit: 'stopping', stop: 'stopping', fail: 'failed' },
  booting: { up: 'running', cycle: 'powering', exit: 'stopping', stop: 'stopping', fail: 'failed' },
  running: { exit: 'stopping', stop: 'stopping', fail: 'failed' },
  stopping: { off: 'exited', again: 'preparing', fail: 'failed' },
  exited: { restart: 'preparing' },
  failed: { restart: 'preparing' },
} as const
export type ContainerState = keyof typeof TRANSITIONS
export type ContainerAction = { [S in ContainerState]: keyof (typeof TRANSITIONS)[S] }[ContainerState]

/** The state after `action`, or undefined where that action means nothing now. Callers persist and act. */
export function next(state: ContainerState, action: ContainerAction): ContainerState | undefined {
  const row: Partial<Record<ContainerAction, ContainerState>> = TRANSITIONS[state]
  return row[action]
}

export const stateNames = Object.keys(TRANSITIONS) as ContainerState[]
export const containerState = z.enum(stateNames as [ContainerState, ...ContainerState[]])

/** States in which the container holds its machine. */
export const LIVE: readonly ContainerState[] = ['preparing', 'powering', 'booting', 'running', 'stopping']

const environment = z
  .string()
  .min(1)
  .max(131_072)
  .regex(/^[^=\0]+(=[^\0]*)?$/s, 'is not KEY=VALUE')
const argument = z
  .string()
  .max(131_072)
  .regex(/^[^\0]*$/s, 'has a NUL in it')

/** Kernel parameters reach the machine through an iPXE script, so their alphabet is closed. */
export const kernelParameter = z
  .string()
  .max(512)
  .regex(/^[A-Za-z0-9_./:=,@%+-]+$/, 'has a character that a kernel parameter must not have')

export const restartPolicy = z
  .string()
  .regex(/^(no|always|on-failure(:\d{1,4})?)$/, 'is not no, on-failure[:N] or always')

export const rootfsKind = z.enum(ROOTFS_KINDS)

export const runOptions = z
  .object({
    image: z.string().min(1).max(1024),
    command: z.array(argument).max(4096).default([]),
    name: name.optional(),
    machine: name.optional(),
    group: name.optional(),
    rank: z.array(rankExpression).max(16).default([]),
    env: z.array(environment).max(4096).default([]).describe('KEY=VALUE'),
    workdir: z.string().startsWith('/').max(4096).optional(),
    user: z.string().max(256).optional().describe('NAME|UID[:GROUP|GID]'),
    entrypoint: z.array(argument).max(4096).optional().describe("replaces the image's; [] clears it"),
    hostname: z
      .string()
      .max(63)
      .regex(/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]+)*$/)
      .optional(),
    tty: z.boolean().default(false),
    stdin: z.boolean().default(false),
    kernel: name.optional().describe('an imported kernel'),
    initrd: name.optional().describe('an imported initrd'),
    kernelParams: z.array(kernelParameter).max(128).default([]),
    rootfs: rootfsKind.optional().describe('default: lazy where the kit can do it, else ram'),
    imageFormat: z.enum(IMAGE_FORMATS).default('erofs').describe('what `rootfs: image` loads'),
    fill: z
      .boolean()
      .default(false)
      .describe('with `rootfs: lazy`: fetch the rest of the image while it runs, after which the server may go away'),
    via: z
      .enum(['network', 'media'])
      .default('network')
      .describe('what starts the machine: its network boot, or a loader in a virtual drive of its BMC'),
    early: z
      .enum(['auto', 'true', 'false'])
      .default('auto')
      .describe('power on before the image is ready; auto: where the memory of the machine is not known yet'),
    timeoutSeconds: z.int().min(1).max(86_400).default(180).describe('from run to running'),
    remove: z.boolean().default(false).describe('remove the container when it has exited'),
    restart: restartPolicy.default('no'),
    labels: labels.default({}),
    pull: z.enum(['missing', 'always', 'never']).default('missing'),
    platform: arch.optional(),
    stopTimeoutSeconds: z.int().min(0).max(3600).default(10),
    resetAtime: z.boolean().default(false).describe('record which files are read; rootfs nfs alone'),
  })
  .strict()
export type RunOptions = z.infer<typeof runOptions>

export const container = z.object({
  id: z.string().describe('64 hexadecimal digits'),
  name,
  image: z.string().describe('the reference that was asked for'),
  imageId: z.string().optional(),
  rootfs: rootfsKind.optional().describe('where its root file system is'),
  rootHash: z.string().optional().describe('dm-verity root hash that the machine checks every block against'),
  filledAt: z.int().optional().describe('when the machine had the whole image and needed the server no more'),
  machineId: z.string().optional(),
  machineName: z.string().optional(),
  state: containerState,
  stage: stage.optional().describe('how far the boot has come'),
  cause: z.string().optional().describe('why it failed, in words'),
  failedStage: z.string().optional(),
  mode: z.enum(['app', 'os']).optional(),
  command: z.array(z.string()).describe('what runs, as one argument list'),
  exitCode: z.int().optional(),
  options: runOptions,
  restartCount: z.int(),
  createdAt: z.int().describe('milliseconds since the epoch, as all times'),
  startedAt: z.int().optional(),
  finishedAt: z.int().optional(),
  stopBy: z.enum(['exit', 'stop', 'kill']).optional().describe('why it leaves or left the machine'),
  graceSeconds: z.int().optional().describe('how long the workload has to end after STOPSIGNAL'),
  stagedAt: z.int().optional().describe('when it came as far as `stage`'),
  poweredAt: z.int().optional().describe('when its machine was seen to be on'),
  bootedAgainAt: z.int().optional().describe('when its machine was switched off and on again for a second attempt'),
  deadlineAt: z.int().optional().describe('when it must be running'),
  machineOff: z.boolean().optional().describe('false when the machine could not be switched off'),
  ip: z.string().optional(),
  outputFrom: z
    .object({ stdout: z.int(), stderr: z.int() })
    .optional()
    .describe('bytes of output that earlier boots have left: where the output of this one begins'),
})
export type Container = z.infer<typeof container>

/** The manual's name of a state, shown where its commands are used (seed 002). */
export const MANUAL_STATE: Readonly<Record<ContainerState, string>> = {
  created: 'terminated',
  preparing: 'up',
  powering: 'up',
  booting: 'pending',
  running: 'running',
  stopping: 'shutting-down',
  exited: 'terminated',
  failed: 'terminated',
}
