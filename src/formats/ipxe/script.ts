/**
 * iPXE scripts from typed statements. A script is never glued from text: every word is checked against a closed alphabet, so
 * that no name or parameter can add a statement of its own (iPXE expands `${…}` and splits at spaces, `&&`, `||` and `#`).
 */
import { AppError } from '../../base/errors.ts'
import { plainText } from '../plain-text.ts'

export type Statement =
  | { readonly do: 'comment' | 'echo'; readonly text: string }
  | { readonly do: 'label'; readonly label: string }
  | { readonly do: 'goto'; readonly label: string }
  | { readonly do: 'imgfree' | 'poweroff' | 'reboot' | 'shell' }
  | { readonly do: 'sleep'; readonly seconds: number }
  /** An address for every interface, one after the other until there is one. */
  | { readonly do: 'dhcp'; readonly orElse: string }
  /** To a script of this machine's own: the MAC of the interface that has an address goes with it. */
  | { readonly do: 'chain-own'; readonly url: string; readonly orElse: string }
  | { readonly do: 'chain'; readonly url: string; readonly orElse?: string }
  | {
      readonly do: 'kernel'
      readonly name: string
      readonly url: string
      readonly args: readonly string[]
      readonly orElse: string
    }
  | { readonly do: 'initrd'; readonly name: string; readonly url: string; readonly orElse: string }
  | { readonly do: 'boot'; readonly orElse: string }

const WORD = /^[A-Za-z0-9_./:=,@%+?&[\]-]+$/
const LABEL = /^[a-z_]+$/

/**
 * Renders a script, its `#!ipxe` line first.
 * @throws {AppError} invalid when a word has a character outside the alphabet, naming the word
 */
export function renderScript(statements: readonly Statement[]): string {
  return ['#!ipxe', ...statements.map(renderStatement)].join('\n') + '\n'
}

function renderStatement(s: Statement): string {
  switch (s.do) {
    case 'comment':
      return `# ${plainText(s.text)}`
    case 'echo':
      return `echo ${plainText(s.text)}`
    case 'label':
      return `:${label(s.label)}`
    case 'goto':
      return `goto ${label(s.label)}`
    case 'sleep':
      return `sleep ${Math.max(0, Math.trunc(s.seconds))}`
    case 'chain':
      return `chain --replace --autofree ${word(s.url)}${s.orElse === undefined ? '' : ` || goto ${label(s.orElse)}`}`
    case 'dhcp':
      return `dhcp || goto ${label(s.orElse)}`
    case 'chain-own':
      return `chain --replace --autofree ${word(s.url)}?mac=\${netX/mac:hexhyp} || goto ${label(s.orElse)}`
    case 'kernel':
      return `kernel --name ${word(s.name)} ${[s.url, ...s.args].map(word).join(' ')} || goto ${label(s.orElse)}`
    case 'initrd':
      return `initrd --name ${word(s.name)} ${word(s.url)} || goto ${label(s.orElse)}`
    case 'boot':
      return `boot || goto ${label(s.orElse)}`
    default:
      return s.do
  }
}

function word(text: string): string {
  // A lone `&` only separates the parameters of a URL; two of them would join statements.
  if (!WORD.test(text) || text.includes('&&'))
    throw new AppError(
      'invalid',
      `Cannot put "${text}" into an iPXE script: it has a character that is not allowed there`,
    )
  return text
}

function label(text: string): string {
  if (!LABEL.test(text)) throw new AppError('invalid', `Cannot use "${text}" as a label of an iPXE script`)
  return text
}
