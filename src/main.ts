/** Where everything begins: the command line, with the daemon as one of its verbs. */
import { enableCompileCache } from 'node:module'
import { processIo } from './cli/io.ts'
import { runCli } from './cli/program.ts'
import { addServerCommand } from './daemon/command.ts'

enableCompileCache()
const io = processIo()
process.exitCode = await runCli(process.argv.slice(2), io, (program) => addServerCommand(program, io))
