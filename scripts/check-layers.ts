/** Fails when a file of src/ imports from a room that its own room may not know (DESIGN.md section 4). */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  formats: ['base'],
  wire: ['base'],
  model: ['base'],
  services: ['base', 'formats', 'model'],
  drivers: ['base', 'formats', 'wire', 'model', 'services'],
  servers: ['base', 'formats', 'wire', 'model', 'services'],
  client: ['base', 'model'],
  rack: ['base', 'wire', 'model', 'client'],
  cli: ['base', 'model', 'client', 'rack'],
  daemon: ['base', 'formats', 'wire', 'model', 'services', 'drivers', 'servers'],
  'main.ts': ['base', 'model', 'cli', 'daemon'],
}

/** Every import that crosses rooms against the table. Type-only imports count: a type is knowledge too. */
export function violations(files: ReadonlyMap<string, string>): string[] {
  const wrong: string[] = []
  for (const [file, text] of files)
    for (const [, spec] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
      const from = room(file)
      const to = room(join(dirname(file), spec!))
      if (from !== to && !MAY_IMPORT[from]?.includes(to))
        wrong.push(`${file}: ${from}/ may not import ${to}/ (${spec})`)
    }
  return wrong
}

function room(file: string): string {
  return relative('src', file).split('/')[0]!
}

if (import.meta.main) {
  const files = globSync('src/**/*.ts').map((file) => [file, readFileSync(file, 'utf8')] as const)
  const wrong = violations(new Map(files))
  for (const line of wrong) console.error(line)
  console.log(`${files.length} files, ${wrong.length} imports against the layers`)
  process.exitCode = wrong.length === 0 && files.length > 0 ? 0 : 1
}
