import { readFileSync } from 'node:fs'
import { AppError } from '../../base/errors.ts'
import { example, JSON_OPTION } from '../option.ts'
import { formatTable } from '../output/table.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('version')
    .summary('show the versions of the client and of the server')
    .option('--client', 'do not ask the server for its version')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat version'))
    .action(async (flags: { client?: boolean; json?: boolean }) => {
      const client = { version: clientVersion(), node: process.versions.node }
      let server: { version: string; node: string } | undefined
      let trouble: unknown
      if (flags.client !== true)
        try {
          const { version, node } = await session.client().system({ signal: session.signal })
          server = { version, node }
        } catch (error) {
          // The client's own version is worth printing without a server.
          if (!(error instanceof AppError)) throw error
          trouble = error
        }
      if (flags.json === true) await session.printJson({ client, ...(server ? { server } : {}) })
      else {
        const rows = [['Client:', client.version, `Node ${client.node}`]]
        if (server) rows.push(['Server:', server.version, `Node ${server.node}`])
        await session.print(formatTable(rows, { minimum: 0, gap: 2 }))
      }
      if (trouble !== undefined) session.complain(trouble)
    })

/** The version in package.json, two folders above src/cli. */
export function clientVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
