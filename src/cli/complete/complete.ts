/**
 * What may come next on a command line. Commands and options come from the tree of commands; names of containers, machines
 * and images from the server, by the name that an argument or an option's value has in the tree.
 */
import type { Command, Option } from 'commander'
import { ROLES } from '../../base/roles.ts'
import { IMAGE_FORMATS, ROOTFS_KINDS } from '../../model/rootfs.ts'
import { POWER_ACTIONS } from '../option.ts'
import type { Session } from '../session.ts'
import { splitReference } from '../output/reference.ts'

export interface Candidate {
  readonly text: string
  readonly about: string
}
export interface Completion {
  readonly candidates: readonly Candidate[]
  readonly hasFiles: boolean
}

/** The server is asked for at most so long: a person is waiting with a finger on the key. Milliseconds. */
const PATIENCE_MS = 1500

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  '--pull': ['missing', 'always', 'never'],
  '--via': ['network', 'media'],
  '--as': ['cd', 'usb'],
  '--early': ['auto', 'true', 'false'],
  '--restart': ['no', 'on-failure', 'always'],
  '--rootfs': ROOTFS_KINDS,
  '--image-format': IMAGE_FORMATS,
  '--fstype': ['nfs', 'ramfs', 'isofs'],
  '--arch': ['amd64', 'arm64'],
  '--role': ROLES,
  '--type': ['container', 'image', 'machine'],
  '--flavour': ['full', 'cloud'],
  '--firmware': ['bios', 'uefi', 'uefi32'],
  '--platform': ['linux/amd64', 'linux/arm64'],
  shell: ['bash', 'zsh', 'fish'],
}

/** @param words after the program's name; the last one is being typed and may be empty */
export async function complete(program: Command, words: readonly string[], session: Session): Promise<Completion> {
  const current = words.at(-1) ?? ''
  const { command, positionals, pending, hasEnded } = walk(program, words.slice(0, -1))
  if (pending) return values(pending.long ?? '', valueName(pending), current, session)
  if (current.startsWith('-') && !hasEnded) {
    const equals = /^(--[^=]+)=(.*)$/s.exec(current)
    if (!equals) return { candidates: starting(optionsOf(command), current), hasFiles: false }
    const option = command.options.find(({ long }) => long === equals[1])
    const found = option
      ? await values(option.long ?? '', valueName(option), equals[2]!, session)
      : { candidates: [], hasFiles: false }
    return {
      ...found,
      candidates: found.candidates.map(({ text, about }) => ({ text: `${equals[1]}=${text}`, about })),
    }
  }
  if (command.commands.length > 0) return { candidates: starting(subcommandsOf(command), current), hasFiles: false }
  const last = command.registeredArguments.at(-1)
  const argument = command.registeredArguments[positionals] ?? (last?.variadic === true ? last : undefined)
  return argument ? values(argument.name(), argument.name(), current, session) : { candidates: [], hasFiles: false }
}

/** Follows finished words down the tree. */
function walk(program: Command, words: readonly string[]) {
  let command = program
  let positionals = 0
  let hasEnded = false
  let pending: Option | undefined
  for (const word of words) {
    if (pending) {
      pending = undefined
    } else if (word === '--') hasEnded = true
    else if (word.startsWith('-') && word !== '-' && !hasEnded) pending = optionAwaitingValue(command, word)
    else {
      const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word))
      if (next) command = next
      else {
        positionals++
        // What follows the first word of `run` or `exec` belongs to the program that they run.
        if (command.registeredArguments.at(-1)?.name() === 'command') hasEnded = true
      }
    }
  }
  return { command, positionals, pending, hasEnded }
}

/** The option whose value is the next word: `--name`, `-e`, or the last letter of `-it`. */
function optionAwaitingValue(command: Command, word: string): Option | undefined {
  if (word.includes('=')) return undefined
  const name = word.startsWith('--') ? word : `-${word.at(-1)}`
  const option = command.options.find(({ long, short }) => long === name || short === name)
  return option?.required === true ? option : undefined
}

function valueName(option: Option): string {
  return /<([^>]+)>/.exec(option.flags)?.[1] ?? ''
}

async function values(key: string, kind: string, current: string, session: Session): Promise<Completion> {
  const choices = CHOICES[key]
  if (choices)
    return {
      candidates: starting(
        choices.map((text) => ({ text, about: '' })),
        current,
      ),
      hasFiles: false,
    }
  if (/^(file|dir|source|destination)$/.test(kind)) {
    const names = kind === 'source' || kind === 'destination' ? await namesOf('container', session) : []
    return {
      candidates: starting(
        names.map(({ text, about }) => ({ text: `${text}:`, about })),
        current,
      ),
      hasFiles: true,
    }
  }
  if (kind === 'image-or-path')
    return { candidates: starting(await namesOf('image', session), current), hasFiles: true }
  if (kind === 'machine-or-action') {
    const actions = POWER_ACTIONS.map((text) => ({ text, about: 'action' }))
    return { candidates: starting([...(await namesOf('machine', session)), ...actions], current), hasFiles: false }
  }
  return { candidates: starting(await namesOf(kind.replace(/s$/, ''), session), current), hasFiles: false }
}

/** Names that the server knows; none when it does not answer in time. */
async function namesOf(kind: string, session: Session): Promise<Candidate[]> {
  const signal = AbortSignal.any([session.signal, AbortSignal.timeout(PATIENCE_MS)])
  try {
    const client = session.client()
    if (kind === 'container')
      return (await client.containers.list({ all: true, signal })).map(({ name, state, image }) => ({
        text: name,
        about: `${image}, ${state}`,
      }))
    if (kind === 'machine')
      return (await client.machines.list({ signal })).map(({ name, arch }) => ({ text: name, about: arch }))
    if (kind === 'group')
      return (await client.groups.list({ signal })).map(({ name, description }) => ({
        text: name,
        about: description === '' ? 'group' : description,
      }))
    if (kind === 'image' || kind === 'other-image')
      return (await client.images.list({ signal })).flatMap(({ references }) =>
        references.map(splitReference).map(({ repository, tag }) => ({ text: `${repository}:${tag}`, about: 'image' })),
      )
    if (kind === 'kit')
      return (await client.kits.list({ signal })).kits.map((kit) => ({ text: kit.digest, about: kit.kernelVersion }))
    if (kind === 'kernel' || kind === 'initrd')
      return (await client.kits.list({ signal })).imported
        .filter((file) => file.kind === kind)
        .map(({ name }) => ({ text: name, about: kind }))
    if (kind === 'thing')
      return [
        ...(await namesOf('container', session)),
        ...(await namesOf('machine', session)),
        ...(await namesOf('image', session)),
      ]
  } catch {
    // Completion stays silent: the command itself will say what is wrong.
  }
  return []
}

function optionsOf(command: Command): Candidate[] {
  const own = command.options
    .filter((option) => !option.hidden)
    .map((option) => ({ text: option.long ?? option.short ?? '', about: option.description }))
  return [...own, { text: '--help', about: 'show this help' }]
}

function subcommandsOf(command: Command): Candidate[] {
  return command.commands
    .filter((one) => !one.name().startsWith('__'))
    .map((one) => ({ text: one.name(), about: one.summary() }))
}

function starting(candidates: readonly Candidate[], start: string): Candidate[] {
  return candidates.filter(({ text }) => text.startsWith(start))
}
