import { writeOut } from '../../io.ts'
import { example } from '../../option.ts'
import type { Session } from '../../session.ts'
import { noKeys, tildeFilter } from '../../terminal/keys.ts'
import { release } from '../../terminal/pump.ts'
import type { Register } from '../../verbs.ts'
import { RACK_OPTION, rackPlace, STATE_DIR_OPTION, type PlaceFlags } from './place.ts'

export const register: Register = (program, session) =>
  program
    .command('console')
    .summary("open the serial line of a rack's machine, past its BMC")
    .argument('<rack-machine>', 'name of the machine')
    .option(...RACK_OPTION)
    .option(...STATE_DIR_OPTION)
    .option('--from-start', 'begin with everything that came over it')
    .addHelpText('after', example('bareboat rack console rack-1'))
    .action((machine: string, flags: PlaceFlags & { fromStart?: boolean }) => open(session, machine, flags))

async function open(session: Session, machine: string, flags: PlaceFlags & { fromStart?: boolean }): Promise<void> {
  const { rackConsole } = await import('../../../rack/rack.ts')
  const { stdin, stdout } = session.io
  const from = flags.fromStart === true ? 0 : 'now'
  const line = await rackConsole(rackPlace(session, flags), machine, { from })
  const isTerminal = stdin.isTTY === true
  if (isTerminal) session.note(`Console of ${machine}; leave it with Enter ~ .`)
  const keys = isTerminal ? tildeFilter() : noKeys
  const onData = (data: Uint8Array | string) => {
    const { bytes, isLeft } = keys.feed(typeof data === 'string' ? Buffer.from(data) : data)
    line.write(bytes)
    if (isLeft) line.destroy()
  }
  const onAbort = () => line.destroy()
  session.signal.addEventListener('abort', onAbort, { once: true })
  if (isTerminal) stdin.setRawMode?.(true)
  stdin.on('data', onData)
  try {
    for await (const chunk of line as AsyncIterable<Buffer>) await writeOut(stdout, chunk)
  } catch (error) {
    // Destroying the line is how a person leaves it.
    if (!line.destroyed) throw error
  } finally {
    session.signal.removeEventListener('abort', onAbort)
    stdin.off('data', onData)
    if (isTerminal) stdin.setRawMode?.(false)
    release(stdin)
    line.destroy()
  }
  session.signal.throwIfAborted()
}
