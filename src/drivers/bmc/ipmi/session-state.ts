/**
 * The life of an RMCP+ session as its console sees it (IPMI v2.0 rev 1.1 §13.15):
 *
 *              +------------- silence -----------+----------------------+
 *              v                                 |                      |
 *   open --> opening --accepted--> keying --bmc-proved--> proving --keys-proved--> active --close--> closing --done--> closed
 *              |                     |                      |                        |
 *              +------- failed ------+-------- failed ------+----------- lost -------+--> closed
 *
 * opening waits for the Open Session response, keying for RAKP 2 (the BMC shows that it knows the password), proving for RAKP 4 (it
 * shows that it has the same keys). Silence in the middle starts over with a new session id: a BMC that took RAKP 3 and whose
 * RAKP 4 was lost may not answer a second RAKP 3.
 */
export const TRANSITIONS = {
  opening: { accepted: 'keying', silence: 'opening', failed: 'closed' },
  keying: { 'bmc-proved': 'proving', silence: 'opening', failed: 'closed' },
  proving: { 'keys-proved': 'active', silence: 'opening', failed: 'closed' },
  active: { close: 'closing', lost: 'closed' },
  closing: { done: 'closed' },
  closed: {},
} as const

export type SessionState = keyof typeof TRANSITIONS
export type SessionEvent = { [S in SessionState]: keyof (typeof TRANSITIONS)[S] }[SessionState]

/** The state after `event`, or undefined where that event means nothing now. */
export function nextSessionState(state: SessionState, event: SessionEvent): SessionState | undefined {
  const row: Partial<Record<SessionEvent, SessionState>> = TRANSITIONS[state]
  return row[event]
}
