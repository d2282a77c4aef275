/** What boot profiles need of the outside: drivers/store keeps them, servers/nbd sees what machines read. */
import type { BlockRange, Profile } from './profile.ts'

/** How one boot from a device went. */
export interface BootMeasure {
  readonly rootHash: string
  readonly containerId: string
  /** Whether what an earlier boot had read was fetched ahead. */
  readonly isAhead: boolean
  /** From the initrd's first word to `running`, milliseconds. */
  readonly bootMs: number
  /** Bytes of the device that the machine had been sent by then. */
  readonly bytesSent: number
  /** Milliseconds since the epoch. */
  readonly atMs: number
}

/** Each method is one transaction. */
export interface ProfileStore {
  profile(rootHash: string): Promise<Profile | undefined>
  putProfile(profile: Profile): Promise<void>
  /** The last of each kind, with and without a profile. */
  measures(rootHash: string): Promise<readonly BootMeasure[]>
  putMeasure(measure: BootMeasure): Promise<void>
  /** Forgets the profile and the measures of a device. */
  remove(rootHash: string): Promise<void>
}

/** What the server of devices has seen. */
export interface DeviceWatch {
  /** The blocks that a boot has read until now, in the order in which each was first read. */
  touched(token: string): Promise<readonly BlockRange[]>
  /** Bytes of the device that were sent in the name of a boot. */
  bytesSent(token: string): Promise<number>
}
