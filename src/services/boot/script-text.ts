/** Boot scripts in the languages of the boot loaders that machines have. */
import { renderGrub, type GrubStatement } from '../../formats/grub/script.ts'
import { renderScript, type Statement } from '../../formats/ipxe/script.ts'
import type { BootScript } from './scripts.ts'

/** iPXE, or GRUB where there is no iPXE: on 32-bit UEFI. */
export type ScriptLanguage = 'ipxe' | 'grub'

/** @throws {AppError} invalid when a kernel parameter has a character that no script may have */
export function scriptText(language: ScriptLanguage, script: BootScript): string {
  return language === 'ipxe' ? renderScript(ipxeScript(script)) : renderGrub(grubScript(script))
}

const words = (text: string): string => `Bareboat: ${text}`
const failed = (seconds: number): string => words(`loading or starting the kernel failed, trying again in ${seconds} s`)

function ipxeScript({ says, kernel, again }: BootScript): Statement[] {
  return [
    ...says.map((text) => ({ do: 'echo', text: words(text) }) as const),
    ...(kernel === undefined
      ? []
      : ([
          { do: 'imgfree' },
          {
            do: 'kernel',
            name: 'kernel',
            url: `${kernel.baseUrl}/kernel`,
            // On UEFI the kernel finds the initrd by the name that iPXE gives it.
            args: ['initrd=initrd', ...kernel.args],
            orElse: 'failed',
          },
          { do: 'initrd', name: 'initrd', url: `${kernel.baseUrl}/initrd`, orElse: 'failed' },
          { do: 'boot', orElse: 'failed' },
          { do: 'label', label: 'failed' },
          { do: 'echo', text: failed(again.afterSeconds) },
        ] as const)),
    // A chain that fails falls through to the next round.
    { do: 'label', label: 'again' },
    { do: 'sleep', seconds: again.afterSeconds },
    { do: 'chain', url: again.url, orElse: 'again' },
    { do: 'goto', label: 'again' },
  ]
}

/** Comes to its end where nothing is started: the loop that asked for it, `grubLoop`, asks again. */
function grubScript({ says, kernel, again }: BootScript): GrubStatement[] {
  return [
    { do: 'set', name: WAIT, value: again.afterSeconds },
    ...says.map((text) => ({ do: 'echo', text: words(text) }) as const),
    ...(kernel === undefined
      ? []
      : ([
          {
            do: 'linux',
            url: `${kernel.baseUrl}/kernel`,
            args: kernel.args,
            then: [{ do: 'initrd', url: `${kernel.baseUrl}/initrd`, then: [{ do: 'boot' }] }],
          },
          { do: 'echo', text: failed(again.afterSeconds) },
        ] as const)),
  ]
}

const WAIT = 'wait'
const NO_ANSWER_SECONDS = 3

/**
 * The configuration that GRUB starts with: asks for the script of its machine until one starts a kernel. One loop for all scripts, since a
 * script that ran the next one would never give its memory back.
 * @param httpUrl of the HTTP server for machines, by its IPv4 address
 * @throws {AppError} invalid when it has none
 */
export function grubLoop(httpUrl: string): string {
  return renderGrub([
    { do: 'echo', text: words(`GRUB asks ${httpUrl} what this machine is to be`) },
    { do: 'insmod', name: 'http' },
    {
      do: 'forever',
      block: [
        { do: 'set', name: WAIT, value: NO_ANSWER_SECONDS },
        {
          do: 'source-own',
          url: `${httpUrl}/boot/waiting.grub`,
          orElse: [{ do: 'echo', text: words(`no answer from ${httpUrl}, trying again in ${NO_ANSWER_SECONDS} s`) }],
        },
        { do: 'sleep-for', name: WAIT },
      ],
    },
  ])
}
