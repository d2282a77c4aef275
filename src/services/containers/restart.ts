import type { Container } from '../../model/container.ts'

/** Whether a container that has ended is started again: docker's restart policies. What a person stopped stays stopped. */
export function shouldRestart(container: Pick<Container, 'options' | 'stopBy' | 'exitCode' | 'restartCount'>): boolean {
  if (container.stopBy !== 'exit') return false
  const [policy, limit] = container.options.restart.split(':')
  if (policy === 'always') return true
  if (policy !== 'on-failure' || container.exitCode === 0) return false
  return limit === undefined || container.restartCount < Number(limit)
}
