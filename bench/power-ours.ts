/**
 * Our side of bench/power.ts: a running process that logs in to every BMC anew, does one thing, and logs out. As in the daemon,
 * 256 sessions at once for all.
 */
import { readdirSync } from 'node:fs'
import { quietLog } from '../src/base/log.ts'
import { createIpmiBmc } from '../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import { SessionBudget } from '../src/drivers/bmc/ipmi/session-budget.ts'
import { PASSWORD, USER } from './bmc-farm.ts'

export interface Done {
  readonly ms: number
  readonly userMs: number
  readonly systemMs: number
  /** How many machines are in the state that was asked for, or for `status`, on. */
  readonly right: number
  readonly descriptorsBefore: number
  readonly descriptorsAfter: number
  readonly peakRssMB: number
}

const SESSIONS = 256

async function run(what: 'status' | 'on' | 'off', hosts: readonly string[]): Promise<Done> {
  const descriptorsBefore = descriptors()
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  const budget = new SessionBudget(SESSIONS)
  const bmcs = hosts.map((host) => createIpmiBmc({ host, user: USER, password: PASSWORD, log: quietLog, budget }))
  const rights = await Promise.all(
    bmcs.map(async (bmc) => {
      if (what === 'status') return (await bmc.status()) === 'on'
      await bmc.set(what)
      return true
    }),
  )
  await Promise.all(bmcs.map((bmc) => bmc[Symbol.asyncDispose]()))
  const ms = performance.now() - startMs
  const { user, system } = process.cpuUsage(cpu)
  return {
    ms,
    userMs: user / 1000,
    systemMs: system / 1000,
    right: rights.filter(Boolean).length,
    descriptorsBefore,
    descriptorsAfter: descriptors(),
    peakRssMB: process.resourceUsage().maxRSS / 1024,
  }
}

/** Without the one that reads the folder. */
function descriptors(): number {
  return readdirSync('/proc/self/fd').length - 1
}

if (process.send) {
  process.on('message', ({ what, hosts }: { what: 'status' | 'on' | 'off'; hosts: readonly string[] }) => {
    void run(what, hosts).then((done) => process.send!(done))
  })
  process.on('disconnect', () => process.exit())
}
