/** How far a boot has come, for the person who waits: one live line on a terminal, else a line for each stage. */
import type { Container } from '../../model/container.ts'
import type { Event } from '../../model/event.ts'
import type { Stage } from '../../model/stage.ts'
import { elapsed } from '../output/human.ts'
import type { Session } from '../session.ts'

/** What a stage that was reached says. */
const REACHED: Readonly<Record<Stage, string>> = {
  'power-on': 'the machine is on',
  dhcp: 'the machine asked for an address',
  tftp: 'the firmware fetched the boot loader',
  ipxe: 'the boot loader fetched its script',
  kernel: 'the boot loader fetched the kernel',
  initrd: 'the kernel runs and the initrd reports',
  rootfs: 'the root file system is there',
  init: 'the workload was started',
  running: 'up',
}
/** Stage `power-on` where nobody has seen it. */
const ON_BY: Readonly<Record<string, string>> = {
  sent: 'the machine was told to switch on',
  hand: 'switch the machine on by hand, with network boot: it is waited for',
}
/** What a change of the container's state begins. */
const BEGUN: Readonly<Record<string, { readonly key: string; readonly words: string }>> = {
  begin: { key: 'preparing', words: 'preparing the image' },
  prepared: { key: 'powering', words: 'switching the machine on' },
  powered: { key: 'booting', words: 'waiting for the machine to boot' },
}
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

export interface Progress extends Disposable {
  /** Takes note of an event. @returns whether the workload has been started */
  see(event: Event): boolean
  /** Ends the live line, before anything else is printed. */
  stop(): void
}

/** @param mode none says nothing; json prints the events themselves, one a line */
export function showProgress(session: Session, container: Container, mode: 'none' | 'text' | 'json'): Progress {
  const { stderr } = session.io
  const isLive = mode === 'text' && stderr.isTTY === true
  const startMs = session.io.now()
  let words = container.machineName === undefined ? 'looking for a machine' : `waiting for ${container.machineName}`
  let frame = 0
  let isUp = false
  const seen = new Set<string>()
  const draw = () => {
    const line = `${SPINNER[frame++ % SPINNER.length]} ${elapsed(startMs, session.io.now())}  ${words}`
    stderr.write(`\r\u001b[2K${session.paint('cyan', line.slice(0, Math.max(10, (stderr.columns ?? 80) - 1)), stderr)}`)
  }
  let timer = isLive ? setInterval(draw, 100) : undefined
  if (isLive) draw()
  const stop = () => {
    if (!timer) return
    clearInterval(timer)
    timer = undefined
    stderr.write('\r\u001b[2K')
  }
  return {
    see(event) {
      const step = stepOf(event)
      if (!step || isUp || seen.has(step.key)) return isUp
      seen.add(step.key)
      isUp = step.key === 'init' || step.key === 'running'
      words = `${step.key}: ${step.words}`
      if (mode === 'json') stderr.write(`${JSON.stringify(event)}\n`)
      else if (mode === 'text' && !isLive)
        stderr.write(`${elapsed(container.createdAt, event.at).padStart(7)}  ${step.key.padEnd(9)}  ${step.words}\n`)
      if (isUp && isLive) {
        stop()
        const where = event.attributes['machine'] ?? container.machineName
        const text = `${container.name} is up${where === undefined ? '' : ` on ${where}`} after ${elapsed(container.createdAt, event.at)}`
        stderr.write(`${session.paint('dim', text, stderr)}\n`)
      }
      return isUp
    },
    stop,
    [Symbol.dispose]: stop,
  }
}

function stepOf({ kind, action, attributes }: Event): { key: string; words: string } | undefined {
  if (kind !== 'container') return undefined
  const stage = action === 'stage' ? attributes['stage'] : undefined
  const by = stage === 'power-on' ? ON_BY[attributes['by'] ?? ''] : undefined
  if (by !== undefined) return { key: 'power-on', words: by }
  if (stage !== undefined) return { key: stage, words: REACHED[stage as Stage] ?? stage }
  if (action === 'start') return { key: 'running', words: REACHED.running }
  return action === 'state' ? BEGUN[attributes['transition'] ?? ''] : undefined
}
