/**
 * Scripts of GNU GRUB 2 from typed statements (GRUB manual §6.1, "Shell-like scripting"). As with iPXE's, every word is checked against a closed
 * alphabet and stands in double quotes, so that no name or parameter can add a statement or expand a variable.
 */
import { AppError } from '../../base/errors.ts'
import { plainText } from '../plain-text.ts'

export type GrubStatement =
  | { readonly do: 'echo'; readonly text: string }
  | { readonly do: 'insmod' | 'sleep-for'; readonly name: string }
  | { readonly do: 'set'; readonly name: string; readonly value: string | number }
  | { readonly do: 'boot' }
  | { readonly do: 'linux'; readonly url: string; readonly args: readonly string[]; readonly then: GrubBlock }
  | { readonly do: 'initrd'; readonly url: string; readonly then: GrubBlock }
  /** Runs the script of a URL, to which the MAC of the interface that has an address is added. */
  | { readonly do: 'source-own'; readonly url: string; readonly orElse: GrubBlock }
  | { readonly do: 'forever'; readonly block: GrubBlock }

export type GrubBlock = readonly GrubStatement[]

const WORD = /^[A-Za-z0-9_./:=,@%+?&[\]()-]+$/
const NAME = /^[a-z_][a-z0-9_]*$/

/**
 * Renders a script.
 * @throws {AppError} invalid when a word has a character outside the alphabet, naming the word, or a URL is not of plain HTTP over IPv4
 */
export function renderGrub(block: GrubBlock): string {
  return lines(block)
    .map((line) => `${line}\n`)
    .join('')
}

function lines(block: GrubBlock): string[] {
  return block.flatMap(statementLines)
}

function statementLines(s: GrubStatement): string[] {
  switch (s.do) {
    case 'echo':
      return [`echo "${plainText(s.text)}"`]
    case 'insmod':
      return [`insmod ${name(s.name)}`]
    case 'sleep-for':
      return [`sleep $${name(s.name)}`]
    case 'set':
      return [`set ${name(s.name)}=${word(String(s.value))}`]
    case 'boot':
      return ['boot']
    case 'linux':
      return ifLines(['linux', word(httpFile(s.url)), ...s.args.map(word)].join(' '), s.then)
    case 'initrd':
      return ifLines(`initrd ${word(httpFile(s.url))}`, s.then)
    case 'source-own':
      return ifLines(`! source "${bare(httpFile(s.url))}?mac=$net_default_mac"`, s.orElse)
    case 'forever':
      return ['while true; do', ...lines(s.block), 'done']
  }
}

function ifLines(condition: string, block: GrubBlock): string[] {
  return [`if ${condition}; then`, ...lines(block), 'fi']
}

/** `http://10.0.0.1:8080/a` as GRUB names it: `(http,10.0.0.1:8080)/a` (GRUB manual §13.1, device syntax). */
function httpFile(url: string): string {
  const parts = /^http:\/\/(\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?)(\/.*)$/.exec(url)
  if (!parts)
    throw new AppError('invalid', `Cannot put "${url}" into a GRUB script: it is no http URL of an IPv4 address`)
  return `(http,${parts[1]})${parts[2]}`
}

function word(text: string): string {
  return `"${bare(text)}"`
}

function bare(text: string): string {
  if (!WORD.test(text))
    throw new AppError(
      'invalid',
      `Cannot put "${text}" into a GRUB script: it has a character that is not allowed there`,
    )
  return text
}

function name(text: string): string {
  if (!NAME.test(text)) throw new AppError('invalid', `Cannot use "${text}" as a name in a GRUB script`)
  return text
}
