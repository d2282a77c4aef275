/** Crawls over the one Redfish client that there is. */
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { CrawlPort, CrawlTarget, ScanPort } from '../../services/discovery/ports.ts'
import { createRedfishClient } from '../bmc/redfish/client.ts'
import { parseFingerprint, type Trust } from '../bmc/redfish/trust.ts'
import { scanIpmi } from './ipmi-scan.ts'
import { probeRedfish, readFingerprint } from './redfish-scan.ts'

const FINGERPRINT_TIMEOUT_MS = 10_000
/** Reading is idempotent and long: less pace than for commands, and no more than two tries of a resource that fails. */
const CRAWL_TRIES = 2

export const scanPort: ScanPort = { redfish: probeRedfish, ipmi: scanIpmi }

export function createCrawlPort(log: Log): CrawlPort {
  return {
    open(target) {
      const { origin, user, password } = target
      const client = createRedfishClient({ origin, user, password, log, trust: trustOf(target), tries: CRAWL_TRIES })
      return {
        get: async (path, signal) => (await client.get(path, signal)).body,
        [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
      }
    },
    fingerprint: (origin, signal) => readFingerprint(origin, FINGERPRINT_TIMEOUT_MS, signal),
  }
}

function trustOf({ origin, trust: { kind, fingerprint, ca } }: CrawlTarget): Trust {
  if (kind === 'anyone') return { kind: 'anyone' }
  if (kind === 'authorities') return { kind: 'authorities', ...(ca === undefined ? {} : { ca }) }
  if (new URL(origin).protocol === 'http:') return { kind: 'authorities' }
  const sha256 = parseFingerprint(fingerprint ?? '')
  if (sha256 === undefined)
    throw new AppError('invalid', `Cannot trust BMC "${origin}": nobody has seen its certificate`)
  return { kind: 'fingerprint', sha256 }
}
