/**
 * The stages of a boot, in order, each with how long it may take and what most likely is wrong when it takes longer.
 * A stage's budget counts from the stage before it. On 32-bit UEFI GRUB is in iPXE's place: `ipxe` is when it has fetched its script.
 */
import { z } from 'zod'

interface StageRow {
  readonly budgetSeconds: number
  readonly waitsFor: string
  readonly hint: string
}

export const STAGES = {
  'power-on': {
    budgetSeconds: 30,
    waitsFor: 'the BMC to switch the machine on',
    hint: 'is the BMC reachable and does its user have operator rights?',
  },
  dhcp: {
    budgetSeconds: 120,
    waitsFor: 'a DHCP request of the machine',
    hint: 'is network boot first in the boot order, is its MAC the registered one, is it on this network, is another DHCP server answering it?',
  },
  tftp: {
    budgetSeconds: 45,
    waitsFor: 'the firmware to fetch the boot loader by TFTP',
    hint: 'is UDP port 69 filtered, or did another DHCP server send it elsewhere?',
  },
  ipxe: {
    budgetSeconds: 60,
    waitsFor: 'the boot loader to fetch its script',
    hint: 'does it have a driver for this network card? the console shows what it says',
  },
  kernel: {
    budgetSeconds: 120,
    waitsFor: 'the boot loader to fetch the kernel',
    hint: 'is the HTTP port filtered? the console shows what the boot loader says',
  },
  initrd: {
    budgetSeconds: 120,
    waitsFor: 'the kernel to start and the initrd to report from the network',
    hint: 'does the kernel have a driver for this network card? did it panic? the console shows it',
  },
  rootfs: {
    budgetSeconds: 600,
    waitsFor: 'the root file system',
    hint: 'is the link slow, or the memory too small for this image?',
  },
  init: { budgetSeconds: 60, waitsFor: 'the workload to be started', hint: 'the console shows what the initrd says' },
  running: {
    budgetSeconds: 300,
    waitsFor: 'the operating system to finish its start',
    hint: 'does the init of the image wait for a device or for the network? the console shows it',
  },
} as const satisfies Record<string, StageRow>

export type Stage = keyof typeof STAGES
export const stageNames = Object.keys(STAGES) as Stage[]
export const stage = z.enum(stageNames as [Stage, ...Stage[]])

/** True when `a` comes before `b` in a boot. */
export function isBefore(a: Stage, b: Stage): boolean {
  return stageNames.indexOf(a) < stageNames.indexOf(b)
}

/** The stage that a boot waits for once `reached` is done; undefined when it is up. */
export function stageAfter(reached: Stage): Stage | undefined {
  return stageNames[stageNames.indexOf(reached) + 1]
}

/**
 * The same of a machine that starts from a medium: firmware of its own asks for nothing.
 * @param hint what the drive tells
 */
export function mediumStallCause(reached: Stage | undefined, afterSeconds: number, hint: string | undefined): string {
  const isBeforeScript = reached === 'power-on' || reached === 'dhcp'
  if (!isBeforeScript) return stallCause(reached, afterSeconds)
  const waitsFor = reached === 'dhcp' ? STAGES.ipxe.waitsFor : 'the machine to start from the medium'
  const help = hint ?? 'does its firmware start from the virtual drive? the console shows what it says'
  return `waited ${Math.round(afterSeconds)} s for ${waitsFor} since stage "${reached}"; ${reached === 'dhcp' ? STAGES.ipxe.hint : help}`
}

/** Why a boot that came as far as `reached` stands still, in words. */
export function stallCause(reached: Stage | undefined, afterSeconds: number): string {
  const waiting = reached === undefined ? 'power-on' : (stageAfter(reached) ?? 'running')
  const since = reached === undefined ? '' : ` since stage "${reached}"`
  return `waited ${Math.round(afterSeconds)} s for ${STAGES[waiting].waitsFor}${since}; ${STAGES[waiting].hint}`
}
