/** Containers, machines and images for tests, complete but for what the test says. */
import type { ImageSummary } from '../../src/model/api.ts'
import type { Container } from '../../src/model/container.ts'
import type { Machine } from '../../src/model/machine.ts'

export const NOW_MS = Date.parse('2026-11-21T06:00:00Z')
export const HOUR_MS = 3_600_000

export function aContainer({
  options,
  ...over
}: Partial<Omit<Container, 'options'>> & { options?: object }): Container {
  return {
    id: 'b'.repeat(64),
    name: 'web',
    image: 'alpine:3.20',
    state: 'running',
    machineName: 'rack1-07',
    command: ['sleep', '100'],
    restartCount: 0,
    createdAt: NOW_MS - 5 * 60_000,
    ...over,
    options: { tty: false, stdin: false, restart: 'no', remove: false, labels: {}, ...options } as Container['options'],
  }
}

export function aMachine(over: Partial<Machine>): Machine {
  return {
    id: 'm'.repeat(12),
    name: 'rack1-07',
    macs: ['52:54:00:12:34:56'],
    arch: 'amd64',
    rank: 0,
    groups: ['rack1'],
    labels: {},
    enabled: true,
    hasBmcPassword: true,
    admission: 'accepted',
    cordoned: false,
    createdAt: NOW_MS,
    bmc: 'ipmi://admin@10.0.3.7',
    ip: '10.0.0.7',
    ...over,
  }
}

export function anImage(over: Partial<ImageSummary>): ImageSummary {
  return {
    id: `sha256:${'c'.repeat(64)}`,
    references: ['a/b:1', 'docker.io/library/alpine:3.20'],
    architecture: 'amd64',
    os: 'linux',
    createdAt: NOW_MS - 2 * HOUR_MS,
    sizeBytes: 7_800_000,
    layerCount: 1,
    ...over,
  }
}
