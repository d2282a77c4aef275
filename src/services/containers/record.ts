/** Questions about a container's record, pure. */
import { AppError, type ErrorCode } from '../../base/errors.ts'
import { LIVE, type Container } from '../../model/container.ts'
import { isBefore, STAGES, stageAfter } from '../../model/stage.ts'
import type { ContainerPatch } from './ports.ts'

/** The code of a workload that was not heard of any more: docker's for SIGKILL. */
export const KILLED = 137
/** The code of a container whose workload never ran. */
export const NEVER_RAN = 125

export function isLive(container: Container): boolean {
  return LIVE.includes(container.state)
}

/** True when something waits for the loop that drives the container. */
export function hasNews(container: Container): boolean {
  return container.exitCode !== undefined || container.cause !== undefined || container.stopBy !== undefined
}

/** Whether what machines, firmware and consoles say still counts. */
export function isComingUpOrRunning(container: Container): boolean {
  return isLive(container) && container.state !== 'stopping'
}

const OURS: ReadonlySet<ErrorCode> = new Set(['exhausted', 'busy', 'internal'])

/** A failure of our own side that may pass (a disk that is full, a queue that is), or a bug: nothing that a machine did. */
export function isOurs(error: unknown): boolean {
  return !(error instanceof AppError) || OURS.has(error.code)
}

/** What a container was about to reach when it failed, for people. */
export function failedStage(container: Container): string {
  if (container.state === 'stopping') return 'power-off'
  if (container.state === 'created' || (container.state === 'preparing' && container.stage === undefined))
    return 'prepare'
  return container.stage === undefined ? 'power-on' : (stageAfter(container.stage) ?? 'running')
}

/** Milliseconds until the container must have come further: its stage's budget, or the deadline of the whole. */
export function leftMs(container: Container, atMs: number): number {
  const waiting = container.stage === undefined ? 'power-on' : (stageAfter(container.stage) ?? 'running')
  const budgetMs = (container.stagedAt ?? atMs) + STAGES[waiting].budgetSeconds * 1000 - atMs
  return Math.min(budgetMs, leftOfAllMs(container, atMs))
}

/**
 * Whether a boot that stands still is tried once more. Firmware asks for its loader or script for a moment and then gives up, so a server
 * that was started anew since the machine was switched on may have missed the question; from iPXE's script on, machines ask again.
 * @param openedAt when the boot was opened, just before the power-on
 * @param serverStartedAt when this server began
 */
export function shouldBootAgain(
  container: Pick<Container, 'stage' | 'bootedAgainAt' | 'deadlineAt'>,
  {
    openedAt,
    serverStartedAt,
    at,
  }: { readonly openedAt: number; readonly serverStartedAt: number; readonly at: number },
): boolean {
  if (container.bootedAgainAt !== undefined || openedAt >= serverStartedAt) return false
  return isBefore(container.stage ?? 'power-on', 'ipxe') && leftOfAllMs(container, at) > 0
}

/** Milliseconds until the container must be running. */
export function leftOfAllMs(container: Pick<Container, 'deadlineAt'>, atMs: number): number {
  return (container.deadlineAt ?? Number.MAX_SAFE_INTEGER) - atMs
}

/**
 * The fields that a new boot of the same container starts with.
 * @param outputFrom how much output earlier boots have left
 */
export function clearedForBoot(
  container: Container,
  atMs: number,
  outputFrom: { stdout: number; stderr: number },
): ContainerPatch {
  return {
    stage: undefined,
    stagedAt: atMs,
    cause: undefined,
    failedStage: undefined,
    exitCode: undefined,
    stopBy: undefined,
    graceSeconds: undefined,
    startedAt: undefined,
    finishedAt: undefined,
    poweredAt: undefined,
    bootedAgainAt: undefined,
    machineOff: undefined,
    ip: undefined,
    filledAt: undefined,
    // Decided anew with the image: its tag may stand for another one by now.
    rootfs: undefined,
    rootHash: undefined,
    outputFrom,
    deadlineAt: atMs + container.options.timeoutSeconds * 1000,
  }
}
