/** Finds BMCs, reads what they know of their systems, and makes machines of them. */
import { isIP } from 'node:net'
import type { Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type {
  CrawlRequest,
  CrawlResult,
  DiscoveredBmc,
  ImportAnswer,
  ImportRequest,
  IpmiSeen,
  RedfishSeen,
  ScanRequest,
} from '../../model/discovery.ts'
import type { InventoryFinding } from '../../model/inventory.ts'
import type { InventoryStore } from '../machines/ports.ts'
import type { MachinesService } from '../machines/machines.ts'
import { makerOfDefault } from '../../model/default-credentials.ts'
import { importSystems, type ImportDeps } from './import.ts'
import { inventoryOfIpmi } from './ipmi.ts'
import type { CrawlPort, DiscoveryStore, ScanPort, SsdpFound } from './ports.ts'
import { crawlRedfish } from './redfish/crawl.ts'
import { eachOf, merged } from './streams.ts'
import { addressesOf } from './subnets.ts'

export interface DiscoveryDeps {
  readonly log: Log
  readonly now: Now
  readonly store: DiscoveryStore
  readonly inventories: InventoryStore
  readonly scanPort: ScanPort
  readonly crawlPort: CrawlPort
  readonly machines: MachinesService
  readonly bmcUrl: ImportDeps['bmcUrl']
}

export type DiscoveryService = ReturnType<typeof createDiscovery>

interface Seen {
  readonly address: string
  /** Of Redfish, where that is not the one that was asked for. */
  readonly port?: number
  readonly redfish?: RedfishSeen
  readonly ipmi?: IpmiSeen
  readonly findings: readonly InventoryFinding[]
}

interface IpmiTarget {
  readonly key: string
  readonly host: string
  readonly port: number
  readonly known: DiscoveredBmc | undefined
}

/** RMCP (IPMI 2.0 §13.1.2). */
const RMCP_PORT = 623

export function createDiscovery({
  log,
  now,
  store,
  inventories,
  scanPort,
  crawlPort,
  machines,
  bmcUrl,
}: DiscoveryDeps) {
  /** Puts what was just seen beside what is known. The first certificate stays: a new one is what an attacker would show. */
  async function remember(key: string, { redfish, ipmi, findings }: Seen): Promise<DiscoveredBmc> {
    const known = await store.get(key)
    const pinned = known?.redfish?.fingerprint
    const changed = pinned !== undefined && redfish?.fingerprint !== undefined && redfish.fingerprint !== pinned
    // What the other protocol said stays.
    const kept = (known?.findings ?? []).filter(({ kind }) =>
      kind === 'certificate-changed' ? redfish === undefined : ipmi === undefined,
    )
    const news = changed ? [{ kind: 'certificate-changed' as const, what: CHANGED }] : []
    const bmc: DiscoveredBmc = {
      systems: [],
      ...known,
      address: key,
      redfish: redfish === undefined ? known?.redfish : { ...redfish, fingerprint: pinned ?? redfish.fingerprint },
      ipmi: ipmi ?? known?.ipmi,
      findings: [...kept, ...findings, ...news],
      seenAt: now(),
    }
    await store.put(bmc)
    return bmc
  }

  async function* scanRedfish(
    addresses: readonly string[],
    request: ScanRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Seen> {
    const probe = async (address: string) => ({ address, redfish: await scanPort.redfish(address, request, signal) })
    for await (const { address, redfish } of eachOf(addresses, request.concurrency, probe))
      if (redfish) yield { address, redfish, findings: [] }
  }

  /** Who says by SSDP that it has a Redfish service is asked for it. @param only these addresses; all where undefined */
  async function* scanSsdp(
    only: ReadonlySet<string> | undefined,
    { timeoutMs, concurrency }: ScanRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Seen> {
    const said = await Array.fromAsync(scanPort.ssdp(timeoutMs, signal))
    const wanted = said.filter(({ address }) => !only || only.has(address))
    const probe = async ({ address, ...where }: SsdpFound) => ({
      address,
      port: where.port,
      redfish: await scanPort.redfish(address, { ...where, timeoutMs }, signal),
    })
    for await (const { address, port, redfish } of eachOf(wanted, concurrency, probe))
      if (redfish) yield { address, port, redfish, findings: [] }
  }

  async function* scanIpmi(
    addresses: readonly string[],
    request: ScanRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Seen> {
    const options = { port: request.ipmiPort, timeoutMs: request.timeoutMs }
    for await (const { address, seen, findings } of scanPort.ipmi(addresses, options, signal))
      yield { address, ipmi: seen, findings }
  }

  async function targetOf(text: string): Promise<{ key: string; origin: string; known: DiscoveredBmc | undefined }> {
    const known = await store.get(text)
    if (known?.redfish) return { key: known.address, origin: known.redfish.origin, known }
    const bare = isIP(text) === 6 ? `[${text}]` : text
    const full = /^https?:\/\//.test(bare) ? bare : `https://${bare}`
    const url = URL.canParse(full) ? new URL(full) : undefined
    if (
      !url ||
      url.username !== '' ||
      url.password !== '' ||
      !/^\/?$/.test(url.pathname) ||
      url.search !== '' ||
      url.hash !== ''
    )
      throw new AppError(
        'invalid',
        `Cannot crawl a BMC by what was given: it is not an address, HOST[:PORT] or https://HOST[:PORT], without a user or a path`,
      )
    const key = keyOf(url.hostname.replace(/^\[(.*)\]$/, '$1'), Number(url.port || 443))
    return { key, origin: url.origin, known: await store.get(key) }
  }

  /** Where IPMI is asked: a BMC that was found to speak nothing else, or one that is named so. */
  async function ipmiTargetOf(text: string): Promise<IpmiTarget | undefined> {
    const known = await store.get(text)
    if (known)
      return known.ipmi && !known.redfish
        ? { key: text, host: hostOfKey(text), port: known.ipmi.port, known }
        : undefined
    if (!text.startsWith('ipmi:')) return undefined
    const named = /^ipmi:\/\/(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?\/?$/i.exec(text)
    const port = Number(named?.[2] ?? RMCP_PORT)
    if (!named || port < 1 || port > 65_535)
      throw new AppError(
        'invalid',
        'Cannot crawl a BMC by what was given: it is not ipmi://HOST[:PORT], without a user or a path',
      )
    const host = named[1]!.replace(/^\[(.*)\]$/, '$1')
    return { key: host, host, port, known: await store.get(host) }
  }

  async function crawlIpmi(
    { key, host, port, known }: IpmiTarget,
    { user, password }: CrawlRequest,
    signal: AbortSignal,
  ): Promise<CrawlResult> {
    const facts = await crawlPort.ipmi({ host, port, user, password }, signal)
    const bmc: DiscoveredBmc = {
      findings: [],
      seenAt: now(),
      ...known,
      address: key,
      ipmi: { ...known?.ipmi, port },
      crawledAt: now(),
      user,
      systems: [inventoryOfIpmi(facts, { now, address: host })],
    }
    await store.put(bmc, password)
    log.info('bmc crawled', { bmc: key, systems: 1, over: 'ipmi' })
    return { address: key, bmc }
  }

  async function crawlOne(text: string, request: CrawlRequest, signal: AbortSignal): Promise<CrawlResult> {
    const deadline = AbortSignal.timeout(request.timeoutMs)
    const either = AbortSignal.any([signal, deadline])
    try {
      const overIpmi = await ipmiTargetOf(text)
      if (overIpmi) return await crawlIpmi(overIpmi, request, either)
      const { key, origin, known } = await targetOf(text)
      const { user, password, ca } = request
      if (origin.startsWith('http:') && request.trust !== 'anyone')
        throw new AppError(
          'invalid',
          `Cannot crawl BMC "${key}" without TLS: its password could be read on the way; --trust anyone does it nevertheless`,
        )
      const fingerprint =
        request.trust === 'first-use'
          ? (known?.redfish?.fingerprint ?? (await crawlPort.fingerprint(origin, either)))
          : known?.redfish?.fingerprint
      await using session = crawlPort.open({ origin, user, password, trust: { kind: request.trust, fingerprint, ca } })
      const systems = await crawlRedfish((path) => session.get(path, either), { now, address: hostOf(origin) })
      const bmc: DiscoveredBmc = {
        findings: [],
        seenAt: now(),
        ...known,
        address: key,
        redfish: { ...known?.redfish, origin, fingerprint },
        crawledAt: now(),
        user,
        trust: request.trust,
        systems,
      }
      await store.put(bmc, password)
      log.info('bmc crawled', { bmc: key, systems: systems.length })
      return { address: key, bmc }
    } catch (error) {
      signal.throwIfAborted()
      const message = `Cannot crawl BMC "${text}": it was not done in ${request.timeoutMs} ms`
      if (deadline.aborted) return { address: text, error: { code: 'timeout', message } }
      if (!(error instanceof AppError)) throw error
      log.debug('bmc not crawled', { bmc: text, why: explain(error) })
      return { address: text, error: { code: error.code, message: error.message } }
    }
  }

  return {
    /**
     * Asks every address and yields each BMC as it answers; one that speaks both protocols comes a second time with both. What is
     * found is kept.
     * @throws {AppError} invalid for what is no subnet, and for too many addresses
     */
    async *scan(request: ScanRequest, signal: AbortSignal): AsyncGenerator<DiscoveredBmc, void, undefined> {
      const addresses = addressesOf(request.subnets)
      if (addresses.length === 0 && request.probes.some((probe) => probe !== 'ssdp'))
        throw new AppError('invalid', 'Cannot scan: no addresses are named; only the probe ssdp needs none')
      const sources: AsyncIterable<Seen>[] = []
      if (request.probes.includes('redfish')) sources.push(scanRedfish(addresses, request, signal))
      if (request.probes.includes('ipmi')) sources.push(scanIpmi(addresses, request, signal))
      if (request.probes.includes('ssdp'))
        sources.push(scanSsdp(addresses.length === 0 ? undefined : new Set(addresses), request, signal))
      const found = new Set<string>()
      for await (const seen of merged(...sources)) {
        found.add(seen.address)
        yield await remember(keyOf(seen.address, seen.port ?? request.port), seen)
      }
      log.info('network scanned', { addresses: addresses.length, found: found.size })
    },

    /**
     * Reads BMCs with one user and password; yields what each said, or why it was not read, as they come. The password is kept,
     * sealed, for the machines that an import makes.
     * @throws {AppError} invalid for a password that makers put into every BMC: it is never used
     */
    async *crawl(request: CrawlRequest, signal: AbortSignal): AsyncGenerator<CrawlResult, void, undefined> {
      const maker = makerOfDefault(request.user, request.password)
      if (maker !== undefined)
        throw new AppError(
          'invalid',
          `Cannot crawl as "${request.user}": this is the password that BMCs of ${maker} are delivered with, which everybody knows; set another one on the BMC first`,
        )
      const all =
        request.bmcs.length > 0
          ? request.bmcs
          : (await store.list()).filter(({ redfish, ipmi }) => redfish ?? ipmi).map(({ address }) => address)
      if (all.length === 0)
        throw new AppError(
          'not_found',
          'Cannot crawl: no BMC was found yet; name some, or look for them with: bareboat discover scan SUBNET',
        )
      yield* eachOf(new Set(all), request.concurrency, (text) => crawlOne(text, request, signal))
    },

    /**
     * Makes a machine of every system that was crawled, or updates the one that it is.
     * @throws {AppError} conflict when a system is two machines or two systems are one, naming both; nothing is changed then
     */
    async import({ bmcs, dryRun }: ImportRequest): Promise<ImportAnswer> {
      const all = await store.list()
      for (const address of bmcs)
        if (!all.some((bmc) => bmc.address === address))
          throw new AppError(
            'not_found',
            `Cannot import BMC "${address}": it was not found or crawled; see: bareboat discover ls`,
          )
      const chosen = all.filter((bmc) => bmcs.length === 0 || bmcs.includes(bmc.address))
      return { steps: await importSystems({ store, inventories, machines, bmcUrl }, chosen, dryRun), isDryRun: dryRun }
    },

    list: (): Promise<DiscoveredBmc[]> => store.list(),

    /** Forgets a BMC, its certificate and password; machines stay. @throws {AppError} not_found */
    async forget(address: string): Promise<void> {
      if (!(await store.remove(address)))
        throw new AppError('not_found', `Cannot forget BMC "${address}": it is not known; see: bareboat discover ls`)
    },
  }
}

const CHANGED =
  'its certificate is another one than at the first scan: find out why; bareboat discover forget ADDRESS takes the new one'

/** Addresses name BMCs; another port than that of HTTPS is another BMC. */
function keyOf(address: string, port: number): string {
  return port === 443 ? address : `${isIP(address) === 6 ? `[${address}]` : address}:${port}`
}

function hostOf(origin: string): string {
  return new URL(origin).hostname.replace(/^\[(.*)\]$/, '$1')
}

/** The address in a key, without the port that it may have. */
function hostOfKey(key: string): string {
  return isIP(key) !== 0 ? key : key.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
}
