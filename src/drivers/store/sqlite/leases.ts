/** DHCP leases in SQLite. The database file's `synchronous = FULL` makes a committed lease survive a power cut. */
import type { DatabaseSync } from 'node:sqlite'

/** The statements that make the table, for the list of migrations. */
export const leaseSchema: readonly string[] = [
  `CREATE TABLE lease (
     address TEXT PRIMARY KEY,
     client_key TEXT NOT NULL,
     mac TEXT NOT NULL,
     state TEXT NOT NULL CHECK (state IN ('bound', 'released', 'declined')),
     expires_at_ms INTEGER NOT NULL,
     is_netboot INTEGER NOT NULL,
     host_name TEXT NOT NULL
   ) STRICT, WITHOUT ROWID`,
]

export interface StoredLease {
  readonly address: string
  readonly clientKey: string
  readonly mac: string
  readonly state: 'offered' | 'bound' | 'released' | 'declined'
  readonly expiresAtMs: number
  readonly isNetboot: boolean
  readonly hostName: string
}

interface Row {
  readonly address: string
  readonly client_key: string
  readonly mac: string
  readonly state: StoredLease['state']
  readonly expires_at_ms: number
  readonly is_netboot: number
  readonly host_name: string
}

/**
 * The DHCP server's LeaseStore. `commit` is one immediate transaction: all of its changes are on the disk when it returns, or none
 * when it throws.
 * @param db open, with the schema in it and no transaction running
 */
export function createLeaseStore(db: DatabaseSync) {
  const all = db.prepare('SELECT * FROM lease')
  const put = db.prepare(
    `INSERT INTO lease (address, client_key, mac, state, expires_at_ms, is_netboot, host_name) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (address) DO UPDATE SET client_key = excluded.client_key, mac = excluded.mac, state = excluded.state,
       expires_at_ms = excluded.expires_at_ms, is_netboot = excluded.is_netboot, host_name = excluded.host_name`,
  )
  const [begin, end] = [db.prepare('BEGIN IMMEDIATE'), db.prepare('COMMIT')]
  return {
    load(): StoredLease[] {
      return (all.all() as unknown as Row[]).map((row) => ({
        address: row.address,
        clientKey: row.client_key,
        mac: row.mac,
        state: row.state,
        expiresAtMs: row.expires_at_ms,
        isNetboot: row.is_netboot !== 0,
        hostName: row.host_name,
      }))
    },
    commit(changes: readonly { readonly kind: 'put'; readonly lease: StoredLease }[]): void {
      begin.run()
      try {
        for (const { lease } of changes)
          put.run(
            lease.address,
            lease.clientKey,
            lease.mac,
            lease.state,
            lease.expiresAtMs,
            lease.isNetboot ? 1 : 0,
            lease.hostName,
          )
        end.run()
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK')
        throw error
      }
    },
  }
}
