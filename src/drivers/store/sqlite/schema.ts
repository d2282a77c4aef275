/** The tables of machines, containers, boots, power intents and events, and the steps that make them. */
import type { Generated } from 'kysely'
import type { Migration } from './database.ts'

export interface Tables {
  machine: {
    id: string
    name: string
    /** MachineSpec as JSON, without the password. */
    spec: string
    bmc_password: string | null
    created_at: number
    xname: string | null
    nid: number | null
  }
  machine_mac: { mac: string; machine_id: string }
  /** Addresses that DHCP keeps for a machine and its interfaces. */
  machine_address: { address: string; machine_id: string }
  machine_group: { name: string; description: string }
  container: {
    id: string
    name: string
    state: string
    machine_id: string | null
    /** The rest of the Container record, as JSON. */
    record: string
    created_at: number
  }
  boot: {
    token_hash: string
    container_id: string
    machine_id: string
    /** Token, SSH keys: JSON, sealed. */
    secrets: string
    claimed_by: string | null
    created_at: number
    ended_at: number | null
  }
  power_intent: {
    id: Generated<number>
    machine_id: string
    container_id: string | null
    action: string
    /** sent: may have arrived; done, failed: over. */
    state: string
    created_at: number
    ended_at: number | null
    cause: string | null
  }
  event: {
    id: Generated<number>
    at: number
    kind: string
    action: string
    subject_id: string
    name: string
    source: string
    attributes: string
  }
}

export const coreMigrations: readonly Migration[] = [
  {
    name: '001-core',
    statements: [
      `CREATE TABLE machine (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, bmc_password TEXT, created_at INTEGER NOT NULL) STRICT`,
      `CREATE TABLE machine_mac (mac TEXT PRIMARY KEY, machine_id TEXT NOT NULL REFERENCES machine(id) ON DELETE CASCADE) STRICT`,
      `CREATE TABLE container (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
        machine_id TEXT REFERENCES machine(id), record TEXT NOT NULL, created_at INTEGER NOT NULL) STRICT`,
      // A machine belongs to at most one live container: the database says so, not a check.
      `CREATE UNIQUE INDEX one_live_container ON container(machine_id)
        WHERE state IN ('preparing', 'powering', 'booting', 'running', 'stopping')`,
      `CREATE TABLE boot (token_hash TEXT PRIMARY KEY, container_id TEXT NOT NULL, machine_id TEXT NOT NULL, secrets TEXT NOT NULL,
        claimed_by TEXT, created_at INTEGER NOT NULL, ended_at INTEGER) STRICT`,
      `CREATE INDEX boot_by_container ON boot(container_id)`,
      `CREATE UNIQUE INDEX one_open_boot ON boot(machine_id) WHERE ended_at IS NULL`,
      `CREATE TABLE power_intent (id INTEGER PRIMARY KEY AUTOINCREMENT, machine_id TEXT NOT NULL, container_id TEXT, action TEXT NOT NULL,
        state TEXT NOT NULL, created_at INTEGER NOT NULL, ended_at INTEGER, cause TEXT) STRICT`,
      `CREATE INDEX open_intent ON power_intent(machine_id) WHERE ended_at IS NULL`,
      `CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL,
        subject_id TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL, attributes TEXT NOT NULL) STRICT`,
      `CREATE INDEX event_by_subject ON event(subject_id, id)`,
      `CREATE INDEX event_by_time ON event(at)`,
    ],
  },
  {
    name: '004-admission',
    // Whatever was registered so far was registered by somebody.
    statements: [`UPDATE machine SET spec = json_set(spec, '$.admission', 'accepted', '$.cordoned', json('false'))`],
  },
  {
    name: '005-addresses',
    statements: [
      `ALTER TABLE machine ADD COLUMN xname TEXT`,
      `ALTER TABLE machine ADD COLUMN nid INTEGER`,
      `CREATE UNIQUE INDEX machine_xname ON machine(xname) WHERE xname IS NOT NULL`,
      `CREATE UNIQUE INDEX machine_nid ON machine(nid) WHERE nid IS NOT NULL`,
      `CREATE TABLE machine_address (address TEXT PRIMARY KEY, machine_id TEXT NOT NULL REFERENCES machine(id) ON DELETE CASCADE) STRICT`,
      `INSERT INTO machine_address SELECT spec ->> '$.ip', id FROM machine WHERE spec ->> '$.ip' IS NOT NULL`,
      `CREATE TABLE machine_group (name TEXT PRIMARY KEY, description TEXT NOT NULL) STRICT`,
      `CREATE INDEX machine_mac_of ON machine_mac(machine_id)`,
      `CREATE INDEX machine_address_of ON machine_address(machine_id)`,
    ],
  },
]
