/** The events of a container's life, under docker's names where docker has one. */
import type { Container, ContainerAction } from '../../model/container.ts'
import type { NewEvent } from '../../model/event.ts'
import type { Stage } from '../../model/stage.ts'
import type { ContainerPatch } from './ports.ts'

type Attributes = Readonly<Record<string, string>>

/** An event about a container, with what people filter by. */
export function containerEvent(
  container: Container,
  action: string,
  source: string,
  attributes: Attributes = {},
): NewEvent {
  return {
    kind: 'container',
    action,
    subjectId: container.id,
    name: container.name,
    source,
    attributes: {
      image: container.image,
      ...(container.machineName === undefined ? {} : { machine: container.machineName }),
      ...attributes,
    },
  }
}

export function stageEvent(container: Container, stage: Stage, source: string, attributes: Attributes = {}): NewEvent {
  return containerEvent(container, 'stage', source, { ...attributes, stage })
}

/** The workload has ended, as the machine reported it or, when it said nothing, as we found it. */
export function dieEvent(container: Container, exitCode: number, source: 'guest' | 'daemon'): NewEvent {
  return containerEvent(container, 'die', source, { exitCode: String(exitCode) })
}

/** The event of a change of state. Docker has a name for some; the others are `state` with the transition's name. */
export function stateEvent(container: Container, action: ContainerAction, patch: ContainerPatch): NewEvent {
  return containerEvent(container, nameOf(container, action), 'daemon', {
    transition: action,
    ...(patch.cause === undefined ? {} : { cause: patch.cause }),
    ...(patch.failedStage === undefined ? {} : { failedStage: patch.failedStage }),
    ...(patch.exitCode === undefined ? {} : { exitCode: String(patch.exitCode) }),
  })
}

function nameOf(container: Container, action: ContainerAction): string {
  if (action === 'up') return 'start'
  if (action === 'fail') return 'fail'
  if (action === 'again') return 'restart'
  // Docker says `stop` when a person did it; a workload that ended by itself has died, no more.
  return action === 'off' && container.stopBy !== 'exit' ? 'stop' : 'state'
}
