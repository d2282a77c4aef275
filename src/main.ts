/** Where everything begins: the command line, with the daemon as one of its verbs. */
import { enableCompileCache } from 'node:module'
import { compileCacheDir } from './model/paths.ts'

// What is imported from here on is compiled once and kept: hence no other static imports of ours.
enableCompileCache(compileCacheDir(process.env))
const [{ processIo }, { runCli }] = await Promise.all([import('./cli/io.ts'), import('./cli/program.ts')])
const io = processIo()
process.exitCode = await runCli(process.argv.slice(2), io, async (program) => {
  const { addServerCommand } = await import('./daemon/command.ts')
  addServerCommand(program, io)
})
