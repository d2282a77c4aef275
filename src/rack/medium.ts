/**
 * What is in the removable drives of a machine: a CD and a USB stick, both on USB, as BMCs show virtual media. A drive is there while
 * it has a medium. One that is inserted while the machine is off is there from its first instruction (`drivesConfig`), so that
 * firmware boots from it; while it is on, it is plugged in (`plugDrive`).
 */
import { accessSync, constants, statSync } from 'node:fs'
import { extname } from 'node:path'
import { AppError, explain } from '../base/errors.ts'
import type { Qmp, QmpArguments } from './qmp.ts'

export const DRIVES = ['cd', 'usb'] as const
export type Drive = (typeof DRIVES)[number]

export interface Medium {
  /** Absolute path of a file, or a URL that begins with `http://` or `https://`: QEMU reads it there, piece by piece. */
  readonly source: string
  /** Only a file on a USB stick can be. */
  readonly isWritable: boolean
}

export type Media = Readonly<Partial<Record<Drive, Medium>>>

/** QEMU's reader of configuration files takes no longer values (util/qemu-config.c), and no way to write a quote in one. */
const SOURCE_MAX = 1000
const PROBE_MS = 3000

/** @throws {AppError} invalid for what is neither an absolute path nor an HTTP URL, and for a medium that cannot be writable */
export function parseMedium(drive: Drive, source: string, isWritable: boolean): Medium {
  const refuse = (why: string) => new AppError('invalid', `Cannot insert "${withoutSecrets(source)}": ${why}`)
  const isUrl = /^https?:\/\//i.test(source)
  if (!isUrl && !source.startsWith('/')) throw refuse('it is neither an absolute path nor an http:// or https:// URL')
  if (isUrl && !URL.canParse(source)) throw refuse('it is no URL')
  // eslint-disable-next-line no-control-regex
  if (/["\x00-\x1f\x7f]/.test(source)) throw refuse('it has a quote or a control character in it')
  if (Buffer.byteLength(source) > SOURCE_MAX) throw refuse(`it is longer than ${SOURCE_MAX} bytes`)
  if (isWritable && isUrl) throw refuse('what is read by HTTP cannot be written to')
  if (isWritable && drive === 'cd') throw refuse('a CD cannot be written to')
  return { source: isUrl ? new URL(source).href : source, isWritable }
}

/** The drive that a file is for by its name: ISO images are CDs. */
export function driveFor(source: string): Drive {
  const path = URL.canParse(source) ? new URL(source).pathname : source
  return extname(path).toLowerCase() === '.iso' ? 'cd' : 'usb'
}

/**
 * Looks whether a medium is there, and a server answers with pieces of it, as QEMU and BMCs ask for them (RFC 9110 §14).
 * @throws {AppError} not_found, unreachable, bad_peer
 */
export async function checkMedium({ source, isWritable }: Medium): Promise<void> {
  const cannot = `Cannot insert "${withoutSecrets(source)}"`
  if (source.startsWith('/')) {
    try {
      accessSync(source, isWritable ? constants.R_OK | constants.W_OK : constants.R_OK)
    } catch (cause) {
      throw new AppError('not_found', `${cannot}: ${explain(cause)}`)
    }
    if (!statSync(source).isFile()) throw new AppError('invalid', `${cannot}: it is not a file`)
    return
  }
  let status: number
  try {
    const answer = await fetch(source, { headers: { range: 'bytes=0-0' }, signal: AbortSignal.timeout(PROBE_MS) })
    status = answer.status
    await answer.body?.cancel()
  } catch (cause) {
    throw new AppError('unreachable', `${cannot}: its server does not answer`, { cause })
  }
  if (status === 206) return
  throw new AppError(
    status === 404 ? 'not_found' : 'bad_peer',
    `${cannot}: its server answers ${status}${status === 200 ? ': it gives no ranges of bytes, which a drive needs' : ''}`,
  )
}

/** A source as it may be shown and logged: a path may hold the token of a boot. */
export function withoutSecrets(source: string): string {
  if (!URL.canParse(source)) return source.slice(0, 200)
  const { protocol, host } = new URL(source)
  return `${protocol}//${host}`
}

/**
 * QEMU's `-readconfig` file for the media that are there from the start; the URL of a medium may hold a token, which is not for the
 * list of processes.
 */
export function drivesConfig(media: Media): string {
  return present(media)
    .map(({ drive, medium }) => {
      const values = {
        if: 'none',
        format: 'raw',
        readonly: medium.isWritable ? 'off' : 'on',
        ...fileOf(medium, 'file.'),
      }
      const lines = Object.entries(values).map(([key, value]) => `  ${key} = "${value}"\n`)
      return `[drive "${drive}-medium"]\n${lines.join('')}`
    })
    .join('')
}

/** The arguments for the drives of `drivesConfig`, on the USB controller `xhci`. @param bootIndex where a drive is in the boot order */
export function driveArguments(media: Media, bootIndex: (drive: Drive) => number | undefined): string[] {
  return present(media).flatMap(({ drive }) => {
    const index = bootIndex(drive)
    const { driver, ...properties } = scsiDevice(drive, `${drive}-medium`)
    const all: QmpArguments = { ...properties, ...(index === undefined ? {} : { bootindex: index }) }
    const text = Object.entries(all).map(([key, value]) => `${key}=${value === true ? 'on' : String(value)}`)
    return [...['-device', `usb-bot,id=${drive}-port,bus=xhci.0`], ...['-device', [driver, ...text].join(',')]]
  })
}

/**
 * Plugs a drive with a medium into a machine that is on.
 * @param node a name that no medium had before in this QEMU
 * @throws {AppError} as Qmp; what was added is removed again
 */
export async function plugDrive(qmp: Qmp, drive: Drive, medium: Medium, node: string): Promise<void> {
  const readOnly = { 'read-only': !medium.isWritable }
  try {
    await qmp.ask('blockdev-add', {
      driver: 'raw',
      'node-name': node,
      ...readOnly,
      file: { ...fileOf(medium, ''), ...readOnly },
    })
    await qmp.ask('device_add', { driver: 'usb-bot', id: `${drive}-port`, bus: 'xhci.0' })
    await qmp.ask('device_add', scsiDevice(drive, node))
    // A USB device with several parts is seen by the guest when all of them are there.
    await qmp.ask('qom-set', { path: `/machine/peripheral/${drive}-port`, property: 'attached', value: true })
  } catch (cause) {
    // Whichever of them is there.
    await qmp.removeDevice(`${drive}-port`).catch(() => undefined)
    await qmp.ask('blockdev-del', { 'node-name': node }).catch(() => undefined)
    throw cause
  }
}

/** Pulls a drive. @param node what `plugDrive` was given; undefined for one that was there from the start, which QEMU frees by itself */
export async function unplugDrive(qmp: Qmp, drive: Drive, node: string | undefined): Promise<void> {
  await qmp.removeDevice(`${drive}-port`)
  if (node !== undefined) await qmp.ask('blockdev-del', { 'node-name': node })
}

function present(media: Media): { drive: Drive; medium: Medium }[] {
  return DRIVES.flatMap((drive) => {
    const medium = media[drive]
    return medium === undefined ? [] : { drive, medium }
  })
}

function scsiDevice(drive: Drive, node: string): QmpArguments & { driver: string } {
  const where = { id: drive, bus: `${drive}-port.0`, lun: 0, drive: node }
  return drive === 'cd' ? { driver: 'scsi-cd', ...where } : { driver: 'scsi-hd', removable: true, ...where }
}

function fileOf({ source }: Medium, prefix: string): Record<string, string> {
  if (source.startsWith('/')) return { [`${prefix}driver`]: 'file', [`${prefix}filename`]: source }
  return { [`${prefix}driver`]: new URL(source).protocol.slice(0, -1), [`${prefix}url`]: source }
}
