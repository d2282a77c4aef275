/** A lease, and the port through which leases are made durable. */

export interface Lease {
  /** The address that is leased; there is one lease for each address. */
  readonly address: string
  /** Who holds it: `id:` and the client identifier, or `hw:` and the hardware address, in hexadecimal. */
  readonly clientKey: string
  /** Hardware address of the last packet, `52:54:00:12:34:56`. */
  readonly mac: string
  /** `offered` is a promise of seconds that is never stored; `declined` an address that someone else uses. */
  readonly state: 'offered' | 'bound' | 'released' | 'declined'
  /** When it ends: milliseconds since the epoch, by the wall clock in the store, by the steady clock in the book. */
  readonly expiresAtMs: number
  /** Taken by firmware or iPXE: the system that they boot keeps the address, whatever client identifier it sends. */
  readonly isNetboot: boolean
  readonly hostName: string
}

export type LeaseChange = { readonly kind: 'put'; readonly lease: Lease }

/** Keeps leases over a restart. */
export interface LeaseStore {
  load(): Lease[]
  /** Makes all changes durable, in one transaction, or throws and has made none. */
  commit(changes: readonly LeaseChange[]): void | Promise<void>
}

/** A store that forgets: for tests and for measuring what durability costs. */
export function memoryLeaseStore(leases: Iterable<Lease> = []): LeaseStore {
  const byAddress = new Map(Array.from(leases, (lease) => [lease.address, lease]))
  return {
    load: () => [...byAddress.values()],
    commit(changes) {
      for (const { lease } of changes) byAddress.set(lease.address, lease)
    },
  }
}
