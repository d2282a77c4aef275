/**
 * Changes to an image's config in the words of a Dockerfile, as `docker commit --change` takes them: CMD, ENTRYPOINT, ENV, EXPOSE,
 * HEALTHCHECK NONE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR (Dockerfile reference).
 */
import { AppError } from '../../base/errors.ts'

/** The object `config` of an image config document, as it stands there. */
export type RunConfigDocument = { readonly [key: string]: unknown }

type Change = (config: RunConfigDocument, text: string) => RunConfigDocument

const CHANGES: Readonly<Record<string, Change>> = {
  CMD: (config, text) => ({ ...config, Cmd: command(text) }),
  // As docker: an entrypoint of its own drops the image's CMD.
  ENTRYPOINT: (config, text) => ({ ...config, Entrypoint: command(text), Cmd: null }),
  ENV: (config, text) => ({ ...config, Env: withEnvironment(strings(config['Env']), pairs(text)) }),
  EXPOSE: (config, text) => ({ ...config, ExposedPorts: { ...object(config['ExposedPorts']), ...ports(text) } }),
  HEALTHCHECK: (config, text) => {
    if (text.toUpperCase() !== 'NONE') throw new Refusal('only HEALTHCHECK NONE is taken')
    return { ...config, Healthcheck: { Test: ['NONE'] } }
  },
  LABEL: (config, text) => ({ ...config, Labels: { ...object(config['Labels']), ...Object.fromEntries(pairs(text)) } }),
  ONBUILD: (config, text) => ({ ...config, OnBuild: [...strings(config['OnBuild']), text] }),
  STOPSIGNAL: (config, text) => ({ ...config, StopSignal: text }),
  USER: (config, text) => ({ ...config, User: text }),
  VOLUME: (config, text) => ({ ...config, Volumes: { ...object(config['Volumes']), ...keys(list(text)) } }),
  WORKDIR: (config, text) => ({ ...config, WorkingDir: directory(string(config['WorkingDir']), text) }),
}

class Refusal extends Error {}

/** The config after an instruction. @throws {AppError} invalid, naming it */
export function applyInstruction(config: RunConfigDocument, instruction: string): RunConfigDocument {
  const [, word = '', text = ''] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(instruction) ?? []
  const name = word.toUpperCase()
  const change = Object.hasOwn(CHANGES, name) ? CHANGES[name] : undefined
  try {
    if (change === undefined) throw new Refusal(`"${word}" is not ${Object.keys(CHANGES).join(', ')}`)
    if (text === '') throw new Refusal('nothing follows')
    if (text.includes('\0')) throw new Refusal('it has a NUL in it')
    return change(config, text)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    throw new AppError('invalid', `Cannot use change "${instruction.slice(0, 200)}": ${error.message}`)
  }
}

/** Variables that take the place of those of their name, or come behind. */
export function withEnvironment(env: readonly string[], pairs_: Iterable<readonly [string, string]>): string[] {
  const all = new Map(env.map((text) => [text.split('=', 1)[0]!, text]))
  for (const [key, value] of pairs_) all.set(key, `${key}=${value}`)
  return [...all.values()]
}

/** A JSON list as it is; other text for a shell. */
function command(text: string): string[] {
  return jsonList(text) ?? ['/bin/sh', '-c', text]
}

function list(text: string): string[] {
  return jsonList(text) ?? words(text)
}

function jsonList(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  } catch {
    // Told below.
  }
  throw new Refusal('it is not a JSON list of strings')
}

/** `K=V K2="v 2"`, or the old form `K all that follows`. */
function pairs(text: string): [string, string][] {
  const [first = '', ...rest] = words(text)
  if (!first.includes('=')) {
    if (rest.length === 0) throw new Refusal(`"${first}" is not KEY=VALUE`)
    return [[first, text.slice(text.search(/\s/)).trim()]]
  }
  return [first, ...rest].map((word) => {
    const at = word.indexOf('=')
    if (at < 1) throw new Refusal(`"${word}" is not KEY=VALUE`)
    return [word.slice(0, at), word.slice(at + 1)]
  })
}

function ports(text: string): Record<string, object> {
  const all = words(text).map((word) => {
    if (!/^\d{1,5}(-\d{1,5})?(\/(tcp|udp|sctp))?$/.test(word)) throw new Refusal(`"${word}" is not a port`)
    return word.includes('/') ? word : `${word}/tcp`
  })
  return keys(all)
}

/** Words as a Dockerfile has them: quotes hold together, a backslash takes the next character as it is. */
function words(text: string): string[] {
  const found: string[] = []
  let word: string | undefined
  let quote = ''
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at]!
    if (character === '\\' && quote !== "'" && at + 1 < text.length) word = (word ?? '') + text[(at += 1)]!
    else if (quote !== '') {
      if (character === quote) quote = ''
      else word += character
    } else if (character === '"' || character === "'") {
      quote = character
      word ??= ''
    } else if (/\s/.test(character)) {
      if (word !== undefined) found.push(word)
      word = undefined
    } else word = (word ?? '') + character
  }
  if (quote !== '') throw new Refusal(`a ${quote} is not closed`)
  if (word !== undefined) found.push(word)
  return found
}

function directory(from: string, to: string): string {
  const names: string[] = []
  for (const name of `${to.startsWith('/') ? '' : from}/${to}`.split('/'))
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  return `/${names.join('/')}`
}

function keys(names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]))
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}

function string(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}
