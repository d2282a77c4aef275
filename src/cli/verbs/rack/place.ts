/** Which rack a command is about. */
import { resolve } from 'node:path'
import { defaultRackDir } from '../../../model/paths.ts'
import type { RackPlace } from '../../../rack/rack.ts'
import type { Session } from '../../session.ts'

export interface PlaceFlags {
  rack: string
  stateDir?: string
}

export const RACK_OPTION = ['--rack <name>', 'name of the rack', 'default'] as const
export const STATE_DIR_OPTION = [
  '--state-dir <dir>',
  'folder of the racks (default: BAREBOAT_RACK_DIR or among your state)',
] as const

export function rackPlace(session: Session, { rack, stateDir }: PlaceFlags): RackPlace {
  return { stateDir: rackDir(session, stateDir), name: rack }
}

export function rackDir(session: Session, stateDir: string | undefined): string {
  return stateDir === undefined ? defaultRackDir(session.io.env) : resolve(session.io.cwd, stateDir)
}
