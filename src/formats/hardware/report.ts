/**
 * What a machine says that it is made of: the report of guest/lib/hardware. After a line with the version, one thing a line: its kind,
 * then NAME=VALUE separated by tabs. Kinds and names that are not known here are skipped, so that a newer kit is understood.
 */
import { WireError } from '../../base/errors.ts'
import { parseEntryPoint } from '../smbios/structures.ts'
import { parseSmbios, type Smbios } from '../smbios/smbios.ts'

export const MAX_REPORT_BYTES = 524_288
const MAX_LINES = 4096
const MAX_VALUE = 512
const FIRST_LINE = 'bareboat-hardware 1'

type FieldType = 'text' | 'number' | 'flag'

/** Every kind with its names; `number` is a whole one, `flag` 0 or 1. */
const KINDS = {
  system: { arch: 'text', kernel: 'text', firmware: 'text', memory_kib: 'number' },
  cpu: { sockets: 'number', cores: 'number', threads: 'number', model: 'text' },
  nic: { name: 'text', mac: 'text', driver: 'text', carrier: 'flag', speed: 'number', pci: 'text' },
  pci: { address: 'text', class: 'text', vendor: 'text', device: 'text', driver: 'text' },
  disk: {
    name: 'text',
    bytes: 'number',
    transport: 'text',
    vendor: 'text',
    model: 'text',
    serial: 'text',
    wwid: 'text',
    rotational: 'flag',
    removable: 'flag',
  },
  tpm: { version: 'text' },
  bmc: { firmware: 'text', guid: 'text' },
} as const satisfies Record<string, Readonly<Record<string, FieldType>>>

type Kind = keyof typeof KINDS
type ValueOf<F> = F extends 'text' ? string : F extends 'number' ? number : boolean
/** What one line says; what the machine could not tell is absent. */
export type Line<K extends Kind> = { readonly [N in keyof (typeof KINDS)[K]]?: ValueOf<(typeof KINDS)[K][N]> }

export interface HardwareReport {
  readonly system: Line<'system'>
  readonly cpu: Line<'cpu'>
  readonly nics: readonly Line<'nic'>[]
  /** Network controllers, displays and accelerators, with a driver or without. */
  readonly pci: readonly Line<'pci'>[]
  readonly disks: readonly Line<'disk'>[]
  readonly tpm?: Line<'tpm'>
  readonly bmc?: Line<'bmc'>
  readonly smbios?: Smbios
  /** What could not be read, in words. */
  readonly notes: readonly string[]
}

/** @throws {WireError} when it is no report, or one without bounds */
export function parseReport(bytes: Uint8Array): HardwareReport {
  if (bytes.length > MAX_REPORT_BYTES) throw wrong(`${bytes.length} bytes, at most ${MAX_REPORT_BYTES} are read`)
  const [version, ...lines] = Buffer.from(bytes).toString('latin1').split('\n')
  if (version !== FIRST_LINE) throw wrong(`it does not begin with "${FIRST_LINE}"`)
  if (lines.length > MAX_LINES) throw wrong(`${lines.length} lines, at most ${MAX_LINES} are read`)
  const things: { [K in Kind]: Line<K>[] } = { system: [], cpu: [], nic: [], pci: [], disk: [], tpm: [], bmc: [] }
  let smbios: Smbios | undefined
  const notes: string[] = []
  for (const [index, line] of lines.entries()) {
    const [kind = '', ...pairs] = line.split('\t')
    if (kind === 'smbios') smbios ??= smbiosOf(pairs, notes)
    else if (Object.hasOwn(KINDS, kind)) things[kind as Kind].push(fieldsOf(kind as Kind, pairs, index + 2))
  }
  const [tpm, bmc] = [things.tpm[0], things.bmc[0]]
  return {
    system: things.system[0] ?? {},
    cpu: things.cpu[0] ?? {},
    nics: things.nic,
    pci: things.pci,
    disks: things.disk,
    ...(tpm === undefined ? {} : { tpm }),
    ...(bmc === undefined ? {} : { bmc }),
    ...(smbios === undefined ? {} : { smbios }),
    notes,
  }
}

/** @param lineNumber from 1, for the error */
function fieldsOf(kind: Kind, pairs: readonly string[], lineNumber: number): Readonly<Record<string, unknown>> {
  const types: Readonly<Record<string, FieldType>> = KINDS[kind]
  const fields: Record<string, unknown> = {}
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    if (at < 1) throw wrong(`line ${lineNumber} has a field without a name`)
    const [name, text] = [pair.slice(0, at), pair.slice(at + 1)]
    if (!Object.hasOwn(types, name)) continue
    if (text.length > MAX_VALUE || /[^\x20-\x7e]/.test(text))
      throw wrong(`"${name}" in line ${lineNumber} is not up to ${MAX_VALUE} printable characters`)
    const value = valueOf(types[name]!, text)
    if (value !== undefined) fields[name] = value
  }
  return fields
}

/** Drivers write -1, or all ones, for a speed that they do not know: no number, so not there. */
function valueOf(type: FieldType, text: string): string | number | boolean | undefined {
  if (type === 'text') return text === '' ? undefined : text
  if (type === 'flag') return text === '1' ? true : text === '0' ? false : undefined
  return /^\d{1,15}$/.test(text) && text !== '4294967295' ? Number(text) : undefined
}

/** A machine whose table is broken has the rest of its report none the less. */
function smbiosOf(pairs: readonly string[], notes: string[]): Smbios | undefined {
  try {
    const [entry, table] = ['entry=', 'table='].map((name) => base64(pairs.find((pair) => pair.startsWith(name))))
    return parseSmbios(table!, parseEntryPoint(entry!))
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    notes.push(error.message)
    return undefined
  }
}

function base64(pair: string | undefined): Uint8Array {
  const text = pair?.slice(pair.indexOf('=') + 1) ?? ''
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw new WireError('SMBIOS table', 'it is not there in base64')
  return Buffer.from(text, 'base64')
}

function wrong(why: string): WireError {
  return new WireError('hardware report', why)
}
