/** The verbs, in the order of the help. */
import type { Command } from 'commander'
import type { Session } from './session.ts'

/** Adds one command to the program and yields it. */
export type Register = (program: Command, session: Session) => Command
/** Adds commands of other rooms; asked only when the verb is none of VERBS, or all are wanted. */
export type Extra = (program: Command, session: Session) => void | Promise<void>

interface Verb {
  readonly group?: string
  readonly load: () => Promise<Register>
}

const CONTAINERS = 'Containers'
const IMAGES = 'Images'
const SITE = 'Machines and boot files'
const SERVER = 'Server'

export const VERBS: Readonly<Record<string, Verb>> = {
  run: { group: CONTAINERS, load: async () => (await import('./verbs/run.ts')).register },
  ps: { group: CONTAINERS, load: async () => (await import('./verbs/ps.ts')).register },
  logs: { group: CONTAINERS, load: async () => (await import('./verbs/logs.ts')).register },
  exec: { group: CONTAINERS, load: async () => (await import('./verbs/exec.ts')).register },
  attach: { group: CONTAINERS, load: async () => (await import('./verbs/attach.ts')).register },
  cp: { group: CONTAINERS, load: async () => (await import('./verbs/cp.ts')).register },
  wait: { group: CONTAINERS, load: async () => (await import('./verbs/wait.ts')).register },
  stop: { group: CONTAINERS, load: async () => (await import('./verbs/stop.ts')).register },
  kill: { group: CONTAINERS, load: async () => (await import('./verbs/kill.ts')).register },
  restart: { group: CONTAINERS, load: async () => (await import('./verbs/restart.ts')).register },
  rm: { group: CONTAINERS, load: async () => (await import('./verbs/rm.ts')).register },
  commit: { group: CONTAINERS, load: async () => (await import('./verbs/commit.ts')).register },
  export: { group: CONTAINERS, load: async () => (await import('./verbs/export.ts')).register },
  rename: { group: CONTAINERS, load: async () => (await import('./verbs/rename.ts')).register },
  top: { group: CONTAINERS, load: async () => (await import('./verbs/top.ts')).register },
  atimes: { group: CONTAINERS, load: async () => (await import('./verbs/atimes.ts')).register },
  inspect: { group: CONTAINERS, load: async () => (await import('./verbs/inspect.ts')).register },
  events: { group: CONTAINERS, load: async () => (await import('./verbs/events.ts')).register },
  pull: { group: IMAGES, load: async () => (await import('./verbs/pull.ts')).register },
  import: { group: IMAGES, load: async () => (await import('./verbs/import.ts')).register },
  images: { group: IMAGES, load: async () => (await import('./verbs/images.ts')).register },
  image: { group: IMAGES, load: async () => (await import('./verbs/image.ts')).register },
  machine: { group: SITE, load: async () => (await import('./verbs/machine.ts')).register },
  group: { group: SITE, load: async () => (await import('./verbs/group.ts')).register },
  discover: { group: SITE, load: async () => (await import('./verbs/discover.ts')).register },
  kit: { group: SITE, load: async () => (await import('./verbs/kit.ts')).register },
  media: { group: SITE, load: async () => (await import('./verbs/media.ts')).register },
  rack: { group: SITE, load: async () => (await import('./verbs/rack.ts')).register },
  system: { group: SERVER, load: async () => (await import('./verbs/system.ts')).register },
  info: { group: SERVER, load: async () => (await import('./verbs/info.ts')).register },
  config: { group: SERVER, load: async () => (await import('./verbs/config.ts')).register },
  version: { group: SERVER, load: async () => (await import('./verbs/version.ts')).register },
  demo: { group: SERVER, load: async () => (await import('./verbs/demo.ts')).register },
  test: { group: SERVER, load: async () => (await import('./verbs/test.ts')).register },
  completion: { group: SERVER, load: async () => (await import('./verbs/completion.ts')).register },
}
