/**
 * Writes the pages of docs/reference that follow from tables in the code: errors, configuration, stages, OpenAPI. A test
 * compares; run `node scripts/print-reference.ts` after a change.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERROR_CODES } from '../src/base/errors.ts'
import { KEYS, readConfig } from '../src/daemon/config.ts'
import { TRANSITIONS } from '../src/model/container.ts'
import { STAGES } from '../src/model/stage.ts'
import { createApi, type ApiDeps } from '../src/servers/api/app.ts'
import { openApiDocument } from '../src/servers/api/app.ts'

export const REFERENCE_DIR = join(import.meta.dirname, '../docs/reference')

/** Every generated page by file name. */
export function referencePages(): ReadonlyMap<string, string> {
  return new Map([
    ['errors.md', errorsPage()],
    ['configuration.md', configurationPage()],
    ['boot-stages.md', stagesPage()],
    ['openapi.json', `${JSON.stringify(openApi(), null, 2)}\n`],
  ])
}

function errorsPage(): string {
  const rows = Object.entries(ERROR_CODES).map(
    ([code, { http, exit, means }]) => `| \`${code}\` | ${http} | ${exit} | ${means} |`,
  )
  return `# Errors

Every error of the API has one of these codes: \`{"error": {"code", "message"}}\`. The command line ends with the exit code of
the table; \`run\` ends with 125 for each of them, since every other number is the workload's own, and \`exec\` with docker's
126 (not executable) and 127 (not found).

| code | HTTP | exit code | means |
|---|---|---|---|
${rows.join('\n')}
`
}

function configurationPage(): string {
  const defaults = new Map(readConfig({}, undefined, { HOME: '~' }, 0).entries.map(({ key, value }) => [key, value]))
  const rows = Object.entries(KEYS).map(([key, { env, kind, means }]) => {
    const flag = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    return `| \`${key}\` | \`--${flag}\` | \`${env}\` | ${kind} | ${code(defaults.get(key) ?? '')} | ${means} |`
  })
  return `# Configuration of the server

Set in a YAML file (\`--config FILE\` or \`BAREBOAT_CONFIG\`), in the environment, or by a flag of \`bareboat server\`; what comes
later in this list wins. \`bareboat config show\` prints the effective values with their origin. Defaults are those of root.

| key in the file | flag | environment | kind | default | means |
|---|---|---|---|---|---|
${rows.join('\n')}
`
}

function stagesPage(): string {
  const stages = Object.entries(STAGES).map(
    ([stage, { budgetSeconds, waitsFor, hint }]) => `| \`${stage}\` | ${budgetSeconds} s | ${waitsFor} | ${hint} |`,
  )
  const moves = Object.entries(TRANSITIONS).map(
    ([state, row]) =>
      `| \`${state}\` | ${Object.entries(row)
        .map(([action, to]) => `${action} → \`${to}\``)
        .join(', ')} |`,
  )
  return `# Stages of a boot, states of a container

A boot waits for each stage in turn, no longer than its budget after the stage before it, and no longer in all than
\`run --timeout\`. A boot that stands still ends as \`failed\` with what it waited for and what most likely is wrong.

Firmware asks for its loader or script for a moment only. Where the server was started anew after the power-on and the boot stands
still before \`ipxe\`, the machine is switched off and on once more, with a new boot; the event \`boot-again\` says why.

| stage | budget | waits for | when it does not come |
|---|---|---|---|
${stages.join('\n')}

| state | what can happen, and where it leads |
|---|---|
${moves.join('\n')}
`
}

function openApi() {
  // The routes only touch what they are given when they are called.
  const nothing = { config: [], uploadDir: '', version: '0' } as unknown as ApiDeps
  return openApiDocument(createApi(nothing), '1')
}

function code(text: string): string {
  return text === '' ? '' : `\`${text}\``
}

if (import.meta.main) for (const [name, text] of referencePages()) writeFileSync(join(REFERENCE_DIR, name), text)
