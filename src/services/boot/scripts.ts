/** What machines are told to boot, whichever boot loader reads it (script-text.ts). */

/** Between two questions of a machine that has to wait, seconds. */
const ASK_AGAIN_SECONDS = 10
const PREPARING_SECONDS = 2
const RETRY_SECONDS = 3
/** Nobody watches a machine that is not in use: a kernel that panics starts it anew, after these seconds. */
const PANIC = 'panic=10'

export interface BootScript {
  /** For whoever looks at the console. */
  readonly says: readonly string[]
  readonly kernel?: {
    /** Below which `kernel` and `initrd` are. */
    readonly baseUrl: string
    readonly args: readonly string[]
  }
  /** Every script ends by asking again, so that no machine is left at a prompt or thrown into its firmware's menu. */
  readonly again: { readonly url: string; readonly afterSeconds: number }
}

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
export function containerScript(script: ContainerScript): BootScript {
  return kernelScript(
    `${script.machineName} boots container ${script.containerName} (${short(script)})`,
    [`bareboat.id=${script.containerId}`],
    script,
  )
}

/** Boots the agent on a machine without a container. @param status of the machine: discovered, cordoned, … */
export function agentScript(script: KernelScript, status: string): BootScript {
  return kernelScript(
    `${script.machineName} is ${status} and starts the agent, which reports its hardware`,
    [PANIC],
    script,
  )
}

/** What fails is tried again, with the script fetched anew. */
function kernelScript(what: string, args: readonly string[], script: KernelScript): BootScript {
  return {
    says: [what],
    kernel: {
      baseUrl: script.baseUrl,
      args: [
        ...args,
        `bareboat.url=${script.baseUrl}`,
        `BOOTIF=01-${script.mac.replaceAll(':', '-')}`,
        ...script.kernelParams,
      ],
    },
    again: { url: script.scriptUrl, afterSeconds: RETRY_SECONDS },
  }
}

/** For a machine whose container is not ready to be loaded yet. */
export function preparingScript(machineName: string, scriptUrl: string): BootScript {
  return {
    says: [`${machineName} waits for its image to be ready`],
    again: { url: scriptUrl, afterSeconds: PREPARING_SECONDS },
  }
}

/** For a machine that has nothing to boot: says so and why, waits, asks again. */
export function waitingScript(reasons: readonly string[], scriptUrl: string): BootScript {
  return {
    says: [...reasons, `asking again in ${ASK_AGAIN_SECONDS} s`],
    again: { url: scriptUrl, afterSeconds: ASK_AGAIN_SECONDS },
  }
}

function short(script: ContainerScript): string {
  return script.containerId.slice(0, 12)
}
