/**
 * All leases in memory, found by address and by client, and the choice of an address. The loop applies changes here as it
 * decides, so that two packets of one batch never get the same address, and takes them back when the store cannot make them
 * durable.
 */
import type { Lease, LeaseChange } from './lease.ts'
import { isInPool, toAddress, toNumber, type Subnet } from './subnet.ts'

/** What the answer reads. Times are of the steady clock, milliseconds. */
export interface LeaseView {
  at(address: string): Lease | undefined
  /** The client's lease in this subnet: the one it holds, or the last it held. */
  ofClient(clientKey: string, subnet: Subnet): Lease | undefined
  /** The last lease that firmware or iPXE took with this hardware address. */
  ofNetboot(mac: string, subnet: Subnet): Lease | undefined
  /**
   * An address for someone new: one never used while there are such, then the one that has been free for longest.
   * @param isReserved addresses that belong to known machines
   */
  freeAddress(subnet: Subnet, nowMs: number, isReserved: (address: string) => boolean): string | undefined
  /** Leases of this hardware address, ended ones included, whatever their client identifiers. */
  ofMac(mac: string): Lease[]
}

export interface LeaseBook extends LeaseView {
  /** @returns what undoes the changes */
  apply(changes: readonly LeaseChange[]): () => void
  readonly size: number
  all(): IterableIterator<Lease>
}

/** Held by someone, or unfit: not to be given to another client. */
export function isTaken(lease: Lease, nowMs: number): boolean {
  return lease.state !== 'released' && lease.expiresAtMs > nowMs
}

/** How long a subnet without a free address is believed to have none; a machine may be unregistered meanwhile. */
const FULL_FOR_MS = 1000

export function createLeaseBook(leases: Iterable<Lease> = []): LeaseBook {
  const byAddress = new Map<string, Lease>()
  const byClient = new Map<string, Set<string>>()
  const byMac = new Map<string, Set<string>>()
  /** For each pool, the next address that was never looked at, and those to look at again, oldest first. */
  const cursors = new Map<string, number>()
  /** Subnets that were found to be full, and until when that holds: an exhausted pool must not cost a search per packet. */
  const fullUntilMs = new Map<string, number>()

  const index = (map: Map<string, Set<string>>, key: string, address: string) => {
    const set = map.get(key)
    if (set) set.add(address)
    else map.set(key, new Set([address]))
  }
  const unindex = (map: Map<string, Set<string>>, key: string, address: string) => {
    const set = map.get(key)
    if (set?.delete(address) && set.size === 0) map.delete(key)
  }
  const set = (address: string, lease: Lease | undefined) => {
    const before = byAddress.get(address)
    if (before) {
      unindex(byClient, before.clientKey, address)
      unindex(byMac, before.mac, address)
    }
    // Taken out first, so that the map's order is the order of the last change: the head is what was touched longest ago.
    byAddress.delete(address)
    if (!lease) return
    byAddress.set(address, lease)
    index(byClient, lease.clientKey, address)
    index(byMac, lease.mac, address)
  }
  for (const lease of [...leases].toSorted((a, b) => a.expiresAtMs - b.expiresAtMs)) set(lease.address, lease)

  const latest = (addresses: Set<string> | undefined, subnet: Subnet, fits: (lease: Lease) => boolean) => {
    let best: Lease | undefined
    for (const address of addresses ?? []) {
      const lease = byAddress.get(address)!
      if ((toNumber(address) & subnet.mask) >>> 0 !== subnet.network || lease.state === 'declined' || !fits(lease))
        continue
      if (!best || lease.expiresAtMs > best.expiresAtMs) best = lease
    }
    return best
  }

  const neverUsed = (subnet: Subnet, isReserved: (address: string) => boolean) => {
    for (const [index, pool] of subnet.pools.entries()) {
      const key = `${subnet.cidr} ${index}`
      for (let number = cursors.get(key) ?? pool.first; number <= pool.last; number++) {
        const address = toAddress(number)
        if (byAddress.has(address) || isReserved(address)) continue
        cursors.set(key, number)
        return address
      }
      cursors.set(key, pool.last + 1)
    }
    return undefined
  }

  return {
    at: (address) => byAddress.get(address),
    ofClient: (clientKey, subnet) => latest(byClient.get(clientKey), subnet, () => true),
    ofNetboot: (mac, subnet) => latest(byMac.get(mac), subnet, (lease) => lease.isNetboot),
    freeAddress(subnet, nowMs, isReserved) {
      if ((fullUntilMs.get(subnet.cidr) ?? 0) > nowMs) return undefined
      const fresh = neverUsed(subnet, isReserved)
      if (fresh) return fresh
      let soonestMs = nowMs + FULL_FOR_MS
      for (const lease of byAddress.values()) {
        if (!isInPool(subnet, lease.address) || isReserved(lease.address)) continue
        if (!isTaken(lease, nowMs)) return lease.address
        soonestMs = Math.min(soonestMs, lease.expiresAtMs)
      }
      fullUntilMs.set(subnet.cidr, soonestMs)
      return undefined
    },
    ofMac: (mac) => Array.from(byMac.get(mac) ?? [], (address) => byAddress.get(address)!),
    apply(changes) {
      const before = changes.map(({ lease }) => [lease.address, byAddress.get(lease.address)] as const)
      for (const { lease } of changes) {
        set(lease.address, lease)
        if (lease.state === 'released') fullUntilMs.clear()
      }
      return () => {
        fullUntilMs.clear()
        for (const [address, lease] of before.toReversed()) {
          set(address, lease)
          if (!lease) cursors.clear()
        }
      }
    },
    get size() {
      return byAddress.size
    },
    all: () => byAddress.values(),
  }
}
