/** Crawls over the one Redfish client and the one IPMI driver that there are. */
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { CrawlPort, CrawlTarget, ScanPort } from '../../services/discovery/ports.ts'
import { createRedfishClient } from '../bmc/redfish/client.ts'
import { Distrust, parseFingerprint, type Trust } from '../bmc/trust.ts'
import { readIpmiFacts } from './ipmi-crawl.ts'
import { scanIpmi } from './ipmi-scan.ts'
import { probeRedfish, readFingerprint } from './redfish-scan.ts'
import { scanSsdp } from './ssdp-scan.ts'

const FINGERPRINT_TIMEOUT_MS = 10_000
/** Reading is idempotent and long: less pace than for commands, and no more than two tries of a resource that fails. */
const CRAWL_TRIES = 2

export const scanPort: ScanPort = { redfish: probeRedfish, ipmi: scanIpmi, ssdp: scanSsdp }

export function createCrawlPort(log: Log): CrawlPort {
  return {
    open(target) {
      const { origin, user, password } = target
      const client = createRedfishClient({ origin, user, password, log, trust: trustOf(target), tries: CRAWL_TRIES })
      return {
        async get(path, signal) {
          try {
            return (await client.get(path, signal)).body
          } catch (error) {
            throw error instanceof Distrust ? advised(error, target) : error
          }
        },
        [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
      }
    },
    ipmi: (target, signal) => readIpmiFacts(target, log, signal),
    fingerprint: (origin, signal) => readFingerprint(origin, FINGERPRINT_TIMEOUT_MS, signal),
  }
}

/** Which option of a crawl would help, in the place of what to write into a URL. */
function advised(error: Distrust, { trust: { kind, fingerprint } }: CrawlTarget): AppError {
  if (kind === 'first-use')
    return new AppError(
      error.code,
      `${error.message.split(';', 1)[0]}; if its certificate was changed, bareboat discover forget takes the new one at the next scan`,
    )
  const seen = fingerprint === undefined ? '' : ` (SHA-256 ${fingerprint} at the scan)`
  const help = `--trust first-use takes it${seen} and no other from then on; --ca names the authority that signs them here`
  return new AppError(error.code, `${error.message.split('; compare', 1)[0]}; ${help}`)
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
