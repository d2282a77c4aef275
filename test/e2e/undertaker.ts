/**
 * Takes a site away once the process that opened it is gone, however it went: standard input is a pipe that only that process
 * holds. Arguments: the racks' folder, the rack's name, the site's folder, the registry's process and folder.
 */
import { readFileSync, rmSync } from 'node:fs'
import { rackDown } from '../../src/rack/rack.ts'

const [stateDir, name, dir, pid, registryDir] = process.argv.slice(2) as [string, string, string, string, string]
for await (const _ of process.stdin);
await rackDown({ stateDir, name })
try {
  if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(registryDir)) process.kill(Number(pid), 'SIGKILL')
} catch {
  // It is gone already.
}
for (const folder of [registryDir, dir]) rmSync(folder, { recursive: true, force: true })
