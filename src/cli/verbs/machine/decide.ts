/** `machine reject`, `machine cordon` and `machine uncordon`, which differ in words alone. */
import { example, JSON_OPTION } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const reject = verb(
  'reject',
  'keep machines out: they boot nothing',
  'Rejects machines: no container runs on them, and what they are told when they boot says so. One that waits in the agent is switched off.',
)
export const cordon = verb(
  'cordon',
  'start nothing new on machines',
  'Cordons machines, for maintenance: what runs on them goes on, and nothing new is started.',
)
export const uncordon = verb(
  'uncordon',
  'take a cordon away',
  'Takes the cordon from machines: containers may be started on them again.',
)

function verb(decision: 'reject' | 'cordon' | 'uncordon', summary: string, description: string): Register {
  return (program, session) =>
    program
      .command(decision)
      .summary(summary)
      .description(description)
      .argument('<machines...>', 'names or ids')
      .option(...JSON_OPTION)
      .addHelpText('after', example(`bareboat machine ${decision} rack1-07`))
      .action(async (names: string[], flags: { json?: boolean }) => {
        await forEachName(session, names, async (name) => {
          const machine = await session.client().machines.decide(name, decision, { signal: session.signal })
          await session.printLines([flags.json === true ? JSON.stringify(machine) : machine.name])
        })
      })
}
