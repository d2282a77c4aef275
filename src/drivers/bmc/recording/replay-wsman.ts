/** Intel AMT that is played from a recording: WS-Man over HTTP, whose questions have numbers, behind digest, whose proofs are never the same. */
import type { Exchanged, HttpStep } from '../../../formats/bmc-recording/recording.ts'
import type { WebPlay } from '../web.ts'
import { playedAnswer } from './replay-http.ts'
import { createScript } from './script.ts'

/** DSP0226 §5.4.2; in an answer the number of its question. */
const MESSAGE_ID = /(?<=<a:MessageID[^>]*>)[^<]*/
const RELATES_TO = /(?<=<(?:\w+:)?RelatesTo[^>]*>)[^<]*/
const READS = /\/transfer\/Get<\/a:Action>/
/** In place of the one that was masked. Whether a proof was accepted then is in what followed. */
const CHALLENGE = 'Digest realm="recording", nonce="recording", qop="auth"'

/** Answers questions as they were answered then, whatever their numbers. */
export function replayWsman(exchanges: readonly Exchanged[]): WebPlay {
  const script = createScript<HttpStep>(
    exchanges.filter((exchange) => exchange.is === 'http'),
    {
      keyOf: ({ path, body = '' }) => `${path} ${body.replace(MESSAGE_ID, '')}`,
      isChange: ({ body = '' }) => !READS.test(body),
    },
  )
  return ({ method, path, body }) => {
    const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : ''
    const step = script.next({ is: 'http', ms: 0, tookMs: 0, method, path, headers: {}, body: text })
    const played = playedAnswer(step)
    if (step.status === 401) return { ...played, headers: { ...played.headers, 'www-authenticate': [challenge(step)] } }
    const asked = MESSAGE_ID.exec(step.body ?? '')?.[0]
    // One that answered another question does so again.
    if (asked === undefined || RELATES_TO.exec(step.answer ?? '')?.[0] !== asked) return played
    const answer = step.answer!.replace(RELATES_TO, () => MESSAGE_ID.exec(text)?.[0] ?? '')
    return { ...played, bytes: new TextEncoder().encode(answer) }
  }
}

function challenge({ answerHeaders = {} }: HttpStep): string {
  const wanted = answerHeaders['www-authenticate'] ?? ''
  return /^(\*\*\*$|Digest )/i.test(wanted) ? CHALLENGE : wanted
}
