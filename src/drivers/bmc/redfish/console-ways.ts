/** How a Redfish service says that its machine's serial console is reached (DSP0268, ComputerSystem.SerialConsole and Manager.SerialConsole). */
import { z } from 'zod'
import { AppError } from '../../../base/errors.ts'
import type { RedfishClient } from './client.ts'

const port = z.int().min(1).max(65_535)
const command = z.string().max(256)
const protocol = z
  .object({
    ServiceEnabled: z.boolean().nullish().catch(null),
    Port: port.nullish().catch(null),
    ConsoleEntryCommand: command.nullish().catch(null),
    HotKeySequenceDisplay: command.nullish().catch(null),
  })
  .nullish()
  .catch(null)
const webSocket = z
  .object({ ServiceEnabled: z.boolean().nullish().catch(null), ConsoleURI: z.string().max(2048).nullish().catch(null) })
  .nullish()
  .catch(null)
const systemSchema = z.object({
  SerialConsole: z
    .object({ SSH: protocol, Telnet: protocol, IPMI: protocol, WebSocket: webSocket })
    .nullish()
    .catch(null),
  Links: z
    .object({
      ManagedBy: z
        .array(z.object({ '@odata.id': z.string() }))
        .nullish()
        .catch(null),
    })
    .nullish()
    .catch(null),
})
const managerSchema = z.object({
  SerialConsole: z
    .object({
      ServiceEnabled: z.boolean().nullish().catch(null),
      ConnectTypesSupported: z.array(z.string().max(32)).max(16).nullish().catch(null),
    })
    .nullish()
    .catch(null),
})

const SSH_PORT = 22
const IPMI_PORT = 623

/** What is offered; undefined for what is not, or is switched off. */
export interface ConsoleWays {
  readonly ssh?: {
    readonly port: number
    /** What has to be typed to get from the BMC's own shell to the console; undefined where the service does not say. */
    readonly command: string | undefined
    /** Whether it is said that no command is needed: a system's own console, not one of its manager's shell. */
    readonly isDirect: boolean
    /** What leaves the console, for people. */
    readonly hotKeys: string | undefined
  }
  /** Path on this BMC. */
  readonly webSocket?: { readonly path: string }
  readonly ipmi?: { readonly port: number }
  readonly hasTelnet: boolean
}

/**
 * Reads what the system offers, and where it says nothing its manager (deprecated since Manager 1.10, and all that older ones have).
 * @throws {AppError} as RedfishClient.get
 */
export async function readConsoleWays(client: RedfishClient, path: string, signal?: AbortSignal): Promise<ConsoleWays> {
  const system = systemSchema.safeParse((await client.get(path, signal)).body).data
  const own = waysOfSystem(system?.SerialConsole)
  if (own !== undefined) return own
  const manager = system?.Links?.ManagedBy?.[0]?.['@odata.id']
  if (manager === undefined) return { hasTelnet: false }
  try {
    return waysOfManager((await client.get(manager, signal)).body)
  } catch (error) {
    // Some name a manager that they do not have.
    if (error instanceof AppError && error.code === 'not_found') return { hasTelnet: false }
    throw error
  }
}

function waysOfSystem(serial: z.infer<typeof systemSchema>['SerialConsole']): ConsoleWays | undefined {
  if (!serial) return undefined
  const { SSH: ssh, IPMI: ipmi, Telnet: telnet, WebSocket: socket } = serial
  const path = socket?.ServiceEnabled === false ? undefined : pathOf(socket?.ConsoleURI)
  const found: ConsoleWays = {
    hasTelnet: telnet?.ServiceEnabled === true,
    ...(path === undefined ? {} : { webSocket: { path } }),
    ...(ssh && ssh.ServiceEnabled !== false
      ? {
          ssh: {
            port: ssh.Port ?? SSH_PORT,
            command: ssh.ConsoleEntryCommand || undefined,
            isDirect: true,
            hotKeys: ssh.HotKeySequenceDisplay ?? undefined,
          },
        }
      : {}),
    ...(ipmi && ipmi.ServiceEnabled !== false ? { ipmi: { port: ipmi.Port ?? IPMI_PORT } } : {}),
  }
  return ssh || ipmi || telnet || socket ? found : undefined
}

function waysOfManager(body: unknown): ConsoleWays {
  const serial = managerSchema.safeParse(body).data?.SerialConsole
  const types = serial && serial.ServiceEnabled !== false ? (serial.ConnectTypesSupported ?? []) : []
  return {
    hasTelnet: types.includes('Telnet'),
    ...(types.includes('SSH')
      ? { ssh: { port: SSH_PORT, command: undefined, isDirect: false, hotKeys: undefined } }
      : {}),
    ...(types.includes('IPMI') ? { ipmi: { port: IPMI_PORT } } : {}),
  }
}

/** A ConsoleURI may name the BMC as it calls itself: only its path counts, and the login goes nowhere else. */
function pathOf(uri: string | null | undefined): string | undefined {
  if (uri === undefined || uri === null || !URL.canParse(uri, 'wss://bmc')) return undefined
  const { pathname, search } = new URL(uri, 'wss://bmc')
  return pathname + search
}
