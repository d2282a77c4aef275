import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { AppError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { RegistryConfig } from '../drivers/registry/registry.ts'
import type { RegistryAccess } from '../services/images/ports.ts'
import type { Config } from './config.ts'

/** How registries are reached, from the configuration and docker's own (`$DOCKER_CONFIG` or ~/.docker). */
export function registryConfig(config: Config, log: Log): RegistryConfig {
  const access = new Map<string, RegistryAccess>()
  const add = (registry: string, more: RegistryAccess): void =>
    void access.set(registry, { ...access.get(registry), ...more })
  for (const registry of config.plainHttpRegistries) add(registry, { plainHttp: true })
  for (const registry of config.insecureRegistries) add(registry, { insecure: true })
  const mirrors = new Map<string, string[]>()
  for (const entry of config.mirrors) {
    const at = entry.indexOf('=')
    if (at < 1) throw new AppError('invalid', `Cannot read config key mirrors: "${entry}" is not REGISTRY=URL`)
    const registry = entry.slice(0, at)
    mirrors.set(registry, [...(mirrors.get(registry) ?? []), entry.slice(at + 1)])
  }
  return {
    log,
    now: Date.now,
    access,
    mirrors,
    credentialsPath: join(process.env['DOCKER_CONFIG'] ?? join(homedir(), '.docker'), 'config.json'),
    ...(config.egress === '' ? {} : { proxy: { egress: config.egress } }),
    ...(config.registryCa === '' ? {} : { ca: readFileSync(config.registryCa, 'utf8') }),
  }
}
