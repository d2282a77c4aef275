/** How a container looks in lists. */
import type { Container } from '../../model/container.ts'
import { ago, createdAtText, ellipsis, humanDuration, shortId } from './human.ts'
import type { Column } from './list.ts'

/** Docker's status words where docker has the state; ours name the stage of the boot. */
export function statusText(container: Container, nowMs: number): string {
  const { state, stage, exitCode, startedAt, finishedAt, createdAt } = container
  const since = (at: number | undefined) => ago(at ?? createdAt, nowMs)
  switch (state) {
    case 'created':
      return 'Created'
    case 'preparing':
      return 'Preparing'
    case 'powering':
      return 'Powering on'
    case 'booting':
      return stage === undefined ? 'Booting' : `Booting (${stage})`
    case 'running':
      return `Up ${humanDuration(nowMs - (startedAt ?? createdAt))}`
    case 'stopping':
      return 'Stopping'
    case 'exited':
      return `Exited (${exitCode ?? '-'}) ${since(finishedAt)}`
    case 'failed':
      return `Failed${container.failedStage === undefined ? '' : ` (${container.failedStage})`} ${since(finishedAt)}`
    default:
      return state satisfies never
  }
}

export function containerColumns(nowMs: number, isTruncated: boolean): Column<Container>[] {
  const label = (container: Container) => (key: string) =>
    key === '' ? labelText(container) : (container.options.labels[key] ?? '')
  return [
    { field: 'ID', heading: 'CONTAINER ID', value: ({ id }) => (isTruncated ? shortId(id) : id) },
    { field: 'Image', heading: 'IMAGE', value: ({ image }) => image },
    { field: 'Command', heading: 'COMMAND', value: ({ command }) => commandText(command, isTruncated) },
    { field: 'RunningFor', heading: 'CREATED', value: ({ createdAt }) => ago(createdAt, nowMs) },
    { field: 'Status', heading: 'STATUS', value: (container) => statusText(container, nowMs) },
    { field: 'Machine', heading: 'MACHINE', value: ({ machineName }) => machineName ?? '' },
    { field: 'Names', heading: 'NAMES', value: ({ name }) => name },
    { field: 'CreatedAt', heading: 'CREATED AT', value: ({ createdAt }) => createdAtText(createdAt), hidden: true },
    { field: 'State', heading: 'STATE', value: ({ state }) => state, hidden: true },
    { field: 'Stage', heading: 'STAGE', value: ({ stage }) => stage ?? '', hidden: true },
    { field: 'IP', heading: 'IP', value: ({ ip }) => ip ?? '', hidden: true },
    { field: 'Labels', heading: 'LABELS', value: labelText, hidden: true },
    { field: 'Label', heading: 'LABEL', value: label, hidden: true },
  ]
}

function commandText(command: readonly string[], isTruncated: boolean): string {
  const text = command.join(' ')
  return JSON.stringify(isTruncated ? ellipsis(text, 20) : text)
}

function labelText({ options }: Container): string {
  return Object.entries(options.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}
