/** DHCP leases in SQLite. The database file's `synchronous = FULL` makes a committed lease survive a power cut. */
import type { Migration, SqliteStore } from './database.ts'

export const leaseMigrations: readonly Migration[] = [
  {
    name: '001-leases',
    statements: [
      `CREATE TABLE lease (
         address TEXT PRIMARY KEY,
         client_key TEXT NOT NULL,
         mac TEXT NOT NULL,
         state TEXT NOT NULL CHECK (state IN ('bound', 'released', 'declined')),
         expires_at_ms INTEGER NOT NULL,
         is_netboot INTEGER NOT NULL,
         host_name TEXT NOT NULL
       ) STRICT, WITHOUT ROWID`,
    ],
  },
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
 * @param database opened with `leaseMigrations`; no transaction runs in it
 */
export function createLeaseStore(database: SqliteStore<object>) {
  const all = database.raw.prepare('SELECT * FROM lease')
  const put = database.raw.prepare(
    `INSERT INTO lease (address, client_key, mac, state, expires_at_ms, is_netboot, host_name) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (address) DO UPDATE SET client_key = excluded.client_key, mac = excluded.mac, state = excluded.state,
       expires_at_ms = excluded.expires_at_ms, is_netboot = excluded.is_netboot, host_name = excluded.host_name`,
  )
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
      database.transaction(() => {
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
      })
    },
  }
}
