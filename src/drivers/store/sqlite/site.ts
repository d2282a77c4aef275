/** All that the daemon keeps in its database, and the steps that make it, in the order in which they came to be. */
import { bmcSetupMigrations, type BmcSetupTables } from './bmc-setups.ts'
import type { Migration } from './database.ts'
import { deviceMigrations, type DeviceTables } from './devices.ts'
import { discoveryMigrations, type DiscoveryTables } from './discovery.ts'
import { imageMigrations, type ImageTables } from './images.ts'
import { inventoryMigrations, type InventoryTables } from './inventories.ts'
import { mediaMigrations, type MediaTables } from './media.ts'
import { profileMigrations, type ProfileTables } from './profiles.ts'
import { coreMigrations, type Tables } from './schema.ts'

export type SiteTables = Tables &
  ImageTables &
  DeviceTables &
  ProfileTables &
  DiscoveryTables &
  InventoryTables &
  BmcSetupTables &
  MediaTables

export const siteMigrations: readonly Migration[] = [
  ...coreMigrations,
  ...imageMigrations,
  ...deviceMigrations,
  ...profileMigrations,
  ...discoveryMigrations,
  ...inventoryMigrations,
  ...bmcSetupMigrations,
  ...mediaMigrations,
]
