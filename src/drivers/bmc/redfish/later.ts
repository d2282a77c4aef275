/** What the answer to a write says of it, if it is not good: not done and maybe later, or perhaps done. */
import { LostAnswer, RedfishRefusal } from './refusal.ts'

/** Names of messages of a machine or a service that is busy with something else; the last is of HPE's and Supermicro's registries. */
const BUSY = [
  'ResourceInUse',
  'ResourceInStandby',
  'ResourceNotReadyRetry',
  'ServiceInUnknownState',
  'ServiceTemporarilyUnavailable',
  'GeneralErrorRetry',
  'UnableToModifyDuringSystemPOST',
]

/** It was not done, and may be later. */
export function isForLater(error: unknown): error is RedfishRefusal {
  if (!(error instanceof RedfishRefusal)) return false
  return [409, 412, 429, 503].includes(error.status) || error.says(...BUSY)
}

/** No answer, or a server error, which comes before or after the deed as it likes. */
export function mayBeDone(error: unknown): error is LostAnswer | RedfishRefusal {
  if (error instanceof LostAnswer) return true
  return error instanceof RedfishRefusal && error.status >= 500 && error.status !== 501 && !isForLater(error)
}
