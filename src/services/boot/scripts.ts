/**
 * The iPXE scripts that machines are given. Each ends by asking again, so that no machine is left at a prompt or thrown into
 * its firmware's menu.
 */
import { renderScript } from '../../formats/ipxe/script.ts'

/** Between two questions of a machine that has to wait, seconds. */
const ASK_AGAIN_SECONDS = 10
const PREPARING_SECONDS = 2
const RETRY_SECONDS = 3
/** Nobody watches a machine that is not in use: a kernel that panics starts it anew, after these seconds. */
const PANIC = 'panic=10'

export interface KernelScript {
  readonly machineName: string
  /** Under which the machine's files are, without a slash at the end: `http://10.0.0.1:8080/boot/TOKEN`. */
  readonly baseUrl: string
  /** With which the script itself was asked for, for asking again. */
  readonly scriptUrl: string
  readonly mac: string
  readonly kernelParams: readonly string[]
}

export interface ContainerScript extends KernelScript {
  readonly containerName: string
  readonly containerId: string
}

/** Boots one container on one machine. */
export function containerScript(script: ContainerScript): string {
  return kernelScript(
    `${script.machineName} boots container ${script.containerName} (${short(script)})`,
    [`bareboat.id=${script.containerId}`],
    script,
  )
}

/** Boots the agent on a machine without a container. @param status of the machine: discovered, cordoned, … */
export function agentScript(script: KernelScript, status: string): string {
  return kernelScript(
    `${script.machineName} is ${status} and starts the agent, which reports its hardware`,
    [PANIC],
    script,
  )
}

/** Loads and starts a kernel. What fails is tried again, with the script fetched anew. */
function kernelScript(what: string, args: readonly string[], script: KernelScript): string {
  return renderScript([
    { do: 'echo', text: `Bareboat: ${what}` },
    { do: 'imgfree' },
    {
      do: 'kernel',
      name: 'kernel',
      url: `${script.baseUrl}/kernel`,
      args: [
        'initrd=initrd',
        ...args,
        `bareboat.url=${script.baseUrl}`,
        `BOOTIF=01-${script.mac.replaceAll(':', '-')}`,
        ...script.kernelParams,
      ],
      orElse: 'failed',
    },
    { do: 'initrd', name: 'initrd', url: `${script.baseUrl}/initrd`, orElse: 'failed' },
    { do: 'boot', orElse: 'failed' },
    { do: 'label', label: 'failed' },
    { do: 'echo', text: `Bareboat: loading or starting the kernel failed, trying again in ${RETRY_SECONDS} s` },
    ...askAgain(script.scriptUrl, RETRY_SECONDS),
  ])
}

/** For a machine whose container is not ready to be loaded yet. */
export function preparingScript(machineName: string, scriptUrl: string): string {
  return renderScript([
    { do: 'echo', text: `Bareboat: ${machineName} waits for its image to be ready` },
    ...askAgain(scriptUrl, PREPARING_SECONDS),
  ])
}

/** For a machine that has nothing to boot: says so and why, waits, asks again. */
export function waitingScript(reasons: readonly string[], scriptUrl: string): string {
  return renderScript([
    ...reasons.map((text) => ({ do: 'echo', text: `Bareboat: ${text}` }) as const),
    { do: 'echo', text: `Bareboat: asking again in ${ASK_AGAIN_SECONDS} s` },
    ...askAgain(scriptUrl, ASK_AGAIN_SECONDS),
  ])
}

/** Sleeps and chains for ever: `chain` that fails falls through to the next round. */
function askAgain(url: string, seconds: number) {
  return [
    { do: 'label', label: 'again' },
    { do: 'sleep', seconds },
    { do: 'chain', url, orElse: 'again' },
    { do: 'goto', label: 'again' },
  ] as const
}

function short(script: ContainerScript): string {
  return script.containerId.slice(0, 12)
}
