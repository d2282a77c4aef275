/** Progress of something with steps (layers, packages): a bar each on a terminal, else a line when a step changes. */
import type { Progress } from '../../model/api.ts'
import type { Session } from '../session.ts'
import { humanSize } from './human.ts'
import { ellipsis } from './human.ts'
import { printable } from './table.ts'

const BAR = 30
const EVERY_MS = 80

export interface Bars extends Disposable {
  show(progress: Progress): void
}

/** @param quiet shows nothing */
export function showSteps(session: Session, { quiet = false, json = false } = {}): Bars {
  if (quiet) return { show() {}, [Symbol.dispose]() {} }
  if (json || session.io.stderr.isTTY !== true) return plainSteps(session, json)
  return liveSteps(session)
}

function plainSteps(session: Session, json: boolean): Bars {
  const last = new Map<string, string>()
  return {
    show(progress) {
      if (json) return session.note(JSON.stringify(progress))
      if (last.get(progress.step) === progress.status) return
      last.set(progress.step, progress.status)
      const size = progress.totalBytes === undefined ? '' : ` (${humanSize(progress.totalBytes)})`
      session.note(printable(`${progress.step}: ${progress.status}${size}`))
    },
    [Symbol.dispose]() {},
  }
}

/** Redraws all lines in place; as many as the terminal is high, the latest ones. */
function liveSteps(session: Session): Bars {
  const { stderr } = session.io
  const steps = new Map<string, Progress>()
  let drawnLines = 0
  let drawnAtMs = 0
  const draw = () => {
    const columns = (stderr.columns ?? 80) - 1
    const shown = [...steps.values()].slice(-Math.max(1, (stderr.rows ?? 24) - 1))
    const lines = shown.map((progress) => `\u001b[2K${ellipsis(line(progress), columns)}\n`)
    stderr.write((drawnLines > 0 ? `\u001b[${drawnLines}A` : '') + lines.join(''))
    drawnLines = lines.length
    drawnAtMs = performance.now()
  }
  return {
    show(progress) {
      const before = steps.get(progress.step)
      steps.set(progress.step, progress)
      if (before?.status !== progress.status || performance.now() - drawnAtMs > EVERY_MS) draw()
    },
    [Symbol.dispose]: () => {
      if (steps.size > 0) draw()
    },
  }
}

function line({ step, status, currentBytes, totalBytes }: Progress): string {
  const head = printable(`${step}: ${status}`)
  if (currentBytes === undefined || totalBytes === undefined || totalBytes <= 0) return head
  if (currentBytes >= totalBytes) return head
  const done = Math.min(BAR, Math.floor((BAR * currentBytes) / totalBytes))
  const bar = `${'='.repeat(Math.max(0, done - 1))}${done > 0 ? '>' : ''}`.padEnd(BAR)
  return `${head} [${bar}] ${humanSize(currentBytes)}/${humanSize(totalBytes)}`
}
