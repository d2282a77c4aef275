/** Into machines that are in the agent now, by the keys that each was given when it asked for its orders. */
import { AppError } from '../../base/errors.ts'
import { opensshPrivateKey, publicKeyBlob } from '../../formats/ssh/keys.ts'
import { AGENT_PORT } from '../boot/spec.ts'
import type { Tty } from '../containers/agent.ts'
import type { GuestPort, GuestProcess } from '../containers/ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { AgentSessions } from './sessions.ts'

export interface LoginDeps {
  readonly guest: GuestPort
  readonly sessions: Pick<AgentSessions, 'of' | 'keysOf'>
}

/** A machine that is in the agent answers at once. */
const CONNECT_MS = 30_000

export type Login = ReturnType<typeof createLogin>

export function createLogin({ guest, sessions }: LoginDeps) {
  return {
    /**
     * Runs one command of the agent; its connection ends with it.
     * @param doing for the error: `open a shell on`
     * @throws {AppError} conflict where the machine is not in the agent, with what would help; unreachable, bad_peer
     */
    async run(machine: StoredMachine, doing: string, words: readonly string[], tty?: Tty): Promise<GuestProcess> {
      const session = sessions.of(machine.id)
      if (session?.address === undefined) throw refusal(machine, doing)
      const { host, client } = sessions.keysOf(session)
      const connection = await guest.connect(
        {
          ip: session.address,
          port: AGENT_PORT,
          hostKey: publicKeyBlob(host.publicKey),
          clientKey: opensshPrivateKey(client),
        },
        AbortSignal.timeout(CONNECT_MS),
      )
      const end = () => void connection[Symbol.asyncDispose]()
      try {
        const process = await connection.run(words, tty ? { tty } : {})
        return {
          ...process,
          async [Symbol.asyncDispose]() {
            await process[Symbol.asyncDispose]()
            end()
          },
        }
      } catch (error) {
        end()
        throw error
      }
    },
  }
}

function refusal({ name, containerId }: StoredMachine, doing: string): AppError {
  const start = `Cannot ${doing} machine "${name}"`
  if (containerId !== undefined) {
    const short = containerId.slice(0, 12)
    return new AppError(
      'conflict',
      `${start}: it runs container ${short}; into that goes: bareboat exec -it ${short} sh`,
    )
  }
  const help = `cordon it, and have it boot that: bareboat machine cordon ${name}; bareboat machine reboot ${name}`
  return new AppError('conflict', `${start}: it is not in the agent now; ${help}`)
}
