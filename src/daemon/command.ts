/** `bareboat server` and `bareboat config show`: the daemon as a command. */
import type { Command } from 'commander'
import { KEYS, readConfig, type EffectiveConfig } from './config.ts'

/** What the command line hands in. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly uid: number
}

/** Adds the verb `server` to a program. */
export function addServerCommand(program: Command, { env, uid }: CommandContext): void {
  const command = program
    .command('server')
    .description('Run the server: the API, and with --interface what machines boot from')
    .option('--config <file>', 'configuration file (YAML)')
  for (const [name, key] of Object.entries(KEYS))
    command.option(`--${kebab(name)} <${key.kind}>`, `${key.means} (${key.env})`)
  command.addHelpText('after', '\nExample:\n  bareboat server --interface eth1 --dhcp-range 10.0.0.100-10.0.0.199\n')
  command.action(async (options: Record<string, string>) => {
    const { config: file, ...flags } = options
    await serve(readConfig(flags, file ?? env['BAREBOAT_CONFIG'], env, uid))
  })
}

async function serve(effective: EffectiveConfig): Promise<void> {
  // Loaded here, so that short commands do not pay for the daemon's libraries.
  const [{ runSite }, { createLog }] = await Promise.all([import('./site.ts'), import('./log.ts')])
  const stop = new AbortController()
  const end = (): void => stop.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  await runSite(effective, createLog(effective.config.logLevel), stop.signal)
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
