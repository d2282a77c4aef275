import { AppError } from '../../base/errors.ts'
import type { Event } from '../../model/event.ts'
import { collect, example } from '../option.ts'
import { timestamp } from '../output/human.ts'
import { printable } from '../output/table.ts'
import { parseTemplate, renderTemplate } from '../output/template.ts'
import type { Session } from '../session.ts'
import type { Register } from '../verbs.ts'
import { parseWhen } from '../when.ts'

interface Flags {
  since?: string
  until?: string
  filter: string[]
  format?: string
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('events')
    .summary('show what happens, as it happens')
    .option(
      '--since <when>',
      'begin with the events since then: a date, seconds since the epoch, or how long ago (10m)',
    )
    .option('--until <when>', 'end then')
    .option(
      '-f, --filter <key=value>',
      'container, machine, image, type, event, source, stage (repeatable)',
      collect,
      [],
    )
    .option('--format <template>', 'a Go template for each event, or json')
    .option('--json', 'print JSON, one event a line')
    .addHelpText('after', example('bareboat events --since 1h --filter container=web', 'bareboat events --format json'))
    .action((flags: Flags) => events(session, flags))

async function events(session: Session, flags: Flags): Promise<void> {
  const nowMs = session.io.now()
  const sinceMs = flags.since === undefined ? undefined : parseWhen(flags.since, nowMs)
  const untilMs = flags.until === undefined ? undefined : parseWhen(flags.until, nowMs)
  const matches = createFilter(flags.filter)
  const show = printer(flags)
  const follow = untilMs === undefined || untilMs > nowMs
  const deadline =
    follow && untilMs !== undefined ? AbortSignal.timeout(Math.min(untilMs - nowMs, 2 ** 31 - 1)) : undefined
  const stored = sinceMs === undefined ? (untilMs === undefined ? nowMs : undefined) : sinceMs
  try {
    for await (const event of session.client().events({
      follow,
      signal: deadline ? AbortSignal.any([session.signal, deadline]) : session.signal,
      ...(stored === undefined ? {} : { sinceMs: stored }),
      ...(untilMs === undefined ? {} : { untilMs }),
    })) {
      if (untilMs !== undefined && event.at > untilMs) return
      if (matches(event)) await session.printLines([show(event)])
    }
  } catch (error) {
    if (deadline?.aborted !== true || session.signal.aborted) throw error
  }
}

/** Values of one key are alternatives, keys narrow each other down. */
function createFilter(filters: readonly string[]): (event: Event) => boolean {
  const wanted = new Map<string, string[]>()
  for (const filter of filters) {
    const equals = filter.indexOf('=')
    const key = filter.slice(0, Math.max(0, equals))
    if (!Object.hasOwn(FIELDS, key))
      throw new AppError(
        'invalid',
        `Cannot use filter "${filter}": it is not KEY=VALUE with one of ${Object.keys(FIELDS).join(', ')}`,
      )
    wanted.set(key, [...(wanted.get(key) ?? []), filter.slice(equals + 1)])
  }
  return (event) => [...wanted].every(([key, values]) => values.some((value) => FIELDS[key]!(event, value)))
}

const FIELDS: Readonly<Record<string, (event: Event, value: string) => boolean>> = {
  container: (event, value) => concerns(event, 'container', value),
  machine: (event, value) => concerns(event, 'machine', value),
  image: (event, value) => concerns(event, 'image', value),
  type: (event, value) => event.kind === value,
  event: (event, value) => event.action === value,
  source: (event, value) => event.source === value,
  stage: (event, value) => event.attributes['stage'] === value,
}

/** An event of the thing itself, or one of another that names it among its attributes. */
function concerns({ kind, subjectId, name, attributes }: Event, wanted: Event['kind'], value: string): boolean {
  if (kind === wanted && (name === value || subjectId === value || (value.length >= 4 && subjectId.startsWith(value))))
    return true
  return kind !== wanted && attributes[wanted] === value
}

function printer({ format, json }: Flags): (event: Event) => string {
  if (json === true || format === 'json') return (event) => JSON.stringify(event)
  if (format !== undefined) {
    const template = parseTemplate(format)
    return (event) => renderTemplate(template, withDockerNames(event))
  }
  return (event) => {
    const attributes = { ...event.attributes, name: event.name, source: event.source }
    const text = Object.entries(attributes).map(([key, value]) => `${key}=${value}`)
    return printable(`${timestamp(event.at)} ${event.kind} ${event.action} ${event.subjectId} (${text.join(', ')})`)
  }
}

/** Docker's names of an event's parts, beside ours. */
function withDockerNames(event: Event): object {
  const Actor = { ID: event.subjectId, Attributes: event.attributes }
  return { ...event, Type: event.kind, Status: event.action, Time: Math.floor(event.at / 1000), Actor }
}
