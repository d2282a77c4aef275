/** Fields of a nodes file read one by one; what is wrong with them is collected, so that one reading names it all. */
import { isIP } from 'node:net'
import { WireError } from '../../base/errors.ts'
import { parseMac } from '../../base/mac.ts'
import { parseXname } from '../../base/xname.ts'
import type { Entry, Located } from './located.ts'

/** Something to say about a line of the file. */
export interface Remark {
  readonly line: number
  readonly text: string
}

export interface Remarks {
  readonly warnings: Remark[]
  readonly faults: Remark[]
  warn(line: number, text: string): void
  fault(line: number, text: string): void
}

/** Remarks of one kind that are kept; a file that is wrong throughout says so in its first lines. */
const MAX_REMARKS = 100
const MAX_NAME = 128
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/
const GROUP = /^[a-zA-Z0-9][a-zA-Z0-9_.:-]*$/
const HOST = /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,252})$/
/** Octets that a terminal takes as orders are in no name. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

export function createRemarks(): Remarks {
  const [warnings, faults]: [Remark[], Remark[]] = [[], []]
  const into = (list: Remark[]) => (line: number, text: string) => {
    if (list.length < MAX_REMARKS) list.push({ line, text: text.slice(0, 512) })
  }
  return { warnings, faults, warn: into(warnings), fault: into(faults) }
}

/** @throws {WireError} with every fault and its line, when there is one */
export function throwFaults({ faults }: Remarks, what: string): void {
  if (faults.length === 0) return
  const lines = faults.toSorted((a, b) => a.line - b.line).map(({ line, text }) => `line ${line}: ${text}`)
  throw new WireError(what, lines.join('\n  '))
}

export function shown(text: string): string {
  const plain = text.replace(new RegExp(CONTROL, 'g'), '?')
  return plain.length > 80 ? `${plain.slice(0, 80)}…` : plain
}

export type Fields = ReturnType<typeof fieldsOf>

/**
 * The fields of a map, each read at most once. A field that is absent, or null, is undefined; so is one that is wrong.
 * @param value a fault where it is no map
 */
export function fieldsOf(value: Located, title: string, remarks: Remarks) {
  const entries = new Map<string, Entry>()
  const asked = new Set<string>()
  if (value.kind === 'map') for (const entry of value.entries) entries.set(entry.key, entry)
  else remarks.fault(value.line, `${title} is not a map of fields`)

  function entry(key: string): Entry | undefined {
    asked.add(key)
    const found = entries.get(key)
    return found && !isNull(found.value) ? found : undefined
  }

  /** A scalar that `parse` accepts; otherwise a fault: `field "text" is not <means>`. */
  function scalar<T>(
    key: string,
    means: string,
    parse: (text: string, value: unknown) => T | undefined,
  ): T | undefined {
    const found = entry(key)
    if (!found) return undefined
    const { value, line } = found
    const parsed = value.kind === 'scalar' ? parse(value.text, value.value) : undefined
    if (parsed === undefined)
      remarks.fault(
        line,
        value.kind === 'scalar'
          ? `${key} "${shown(value.text)}" is not ${means}`
          : `${key} is a ${value.kind}, not ${means}`,
      )
    return parsed
  }

  return {
    line: value.line,
    lineOf: (key: string): number => entries.get(key)?.line ?? value.line,
    has: (key: string): boolean => entry(key) !== undefined,
    scalar,
    mac: (key: string) => scalar(key, 'the MAC address of one network card, such as 52:54:00:12:34:56', parseMac),
    ip: (key: string) => scalar(key, 'an IP address', (text) => (isIP(text) === 0 ? undefined : text.toLowerCase())),
    host: (key: string) => scalar(key, 'a host name', (text) => (HOST.test(text) ? text : undefined)),
    name: (key: string) =>
      scalar(key, `a name: letters, digits, _ . - after a letter or digit, at most ${MAX_NAME}`, asName),
    xname: (key: string, kind: 'node' | 'bmc') =>
      scalar(key, XNAME_MEANS[kind], (text) => {
        const xname = parseXname(text)
        return xname?.kind === kind ? xname.text : undefined
      }),
    text: (key: string) =>
      scalar(key, `1 to ${MAX_NAME} printable characters`, (text) =>
        text.length > 0 && text.length <= MAX_NAME && !CONTROL.test(text) ? text : undefined,
      ),
    boolean: (key: string) => scalar(key, 'true or false', (_, read) => (typeof read === 'boolean' ? read : undefined)),
    nid: (key: string) =>
      scalar(key, 'a whole number from 0 to 9007199254740991', (_, read) =>
        typeof read === 'number' && Number.isSafeInteger(read) && read >= 0 ? read : undefined,
      ),
    /** The items of a list; a fault where it is none. */
    list(key: string): readonly Located[] | undefined {
      const found = entry(key)
      if (!found) return undefined
      if (found.value.kind === 'list') return found.value.items
      remarks.fault(found.line, `${key} is not a list`)
      return undefined
    },
    /** The map of a field whose keys are free. */
    map(key: string): Readonly<Record<string, string>> | undefined {
      const found = entry(key)
      if (!found) return undefined
      if (found.value.kind !== 'map') {
        remarks.fault(found.line, `${key} is not a map`)
        return undefined
      }
      const pairs = found.value.entries.map(({ key: name, line, value: word }) => {
        if (word.kind !== 'scalar' || name.length > 256 || word.text.length > 4096 || name === '')
          remarks.fault(line, `${key} has "${shown(name)}", whose value is no text of at most 4096 characters`)
        return [name, word.kind === 'scalar' ? word.text : ''] as const
      })
      return Object.fromEntries(pairs)
    },
    /** Warns of every field that was not asked for. */
    warnOthers(): void {
      for (const { key, line } of entries.values())
        if (!asked.has(key))
          remarks.warn(
            line,
            `${title} has the unknown field "${shown(key)}", which is not kept (known: ${[...asked].join(', ')})`,
          )
    },
  }
}

const XNAME_MEANS = {
  node: 'the xname of a node, such as x1000c1s7b0n0',
  bmc: 'the xname of a BMC, such as x1000c1s7b0',
} as const

export function asName(text: string): string | undefined {
  return text.length <= MAX_NAME && NAME.test(text) ? text : undefined
}

/** SMD's labels have a colon too, which names of machines have not. */
export function asGroup(text: string): string | undefined {
  return text.length <= MAX_NAME && GROUP.test(text) ? text : undefined
}

function isNull(value: Located): boolean {
  return value.kind === 'scalar' && value.value === null
}
