import { AppError } from '../../base/errors.ts'
import { LIVE, type Container } from '../../model/container.ts'

/** What `ps --filter` knows: docker's keys, and the machine. Values of one key are joined by or, keys by and, as docker does. */
const FILTERS: Readonly<Record<string, (container: Container, value: string) => boolean>> = {
  id: (container, value) => container.id.startsWith(value),
  name: (container, value) => container.name.includes(value),
  status: (container, value) => container.state === value,
  state: (container, value) => container.state === value,
  machine: (container, value) => container.machineName === value,
  image: (container, value) => container.image === value,
  ancestor: (container, value) => container.image === value || container.imageId?.includes(value) === true,
  exited: (container, value) => container.state === 'exited' && container.exitCode === Number(value),
  label: (container, value) => {
    const [key, wanted] = value.split('=', 2)
    const has = container.options.labels[key!]
    return wanted === undefined ? has !== undefined : has === wanted
  },
}

/** @param all whether exited and failed ones count too; a filter by state says so itself  @throws {AppError} invalid */
export function filterContainers(
  containers: readonly Container[],
  filters: readonly string[],
  all: boolean,
): Container[] {
  const byKey = new Map<string, string[]>()
  for (const filter of filters) {
    const at = filter.indexOf('=')
    const key = filter.slice(0, at)
    if (at < 1 || !Object.hasOwn(FILTERS, key))
      throw new AppError(
        'invalid',
        `Cannot filter by "${filter}": it is KEY=VALUE with a key of ${Object.keys(FILTERS).join(', ')}`,
      )
    byKey.set(key, [...(byKey.get(key) ?? []), filter.slice(at + 1)])
  }
  const asksState = byKey.has('status') || byKey.has('state') || byKey.has('exited')
  return containers
    .filter((container) => all || asksState || container.state === 'created' || LIVE.includes(container.state))
    .filter((container) => [...byKey].every(([key, values]) => values.some((value) => FILTERS[key]!(container, value))))
}
