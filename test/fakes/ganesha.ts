/** nfs-ganesha for one directory: NFSv4, writable, root stays root. Listens on every address of the namespace that it runs in. */
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { poll } from '../../src/base/clock.ts'

/** @param pseudo what the machine mounts, e.g. `/root1` */
export async function startGanesha(directory: string, pseudo: string, stateDirectory: string) {
  const recovery = join(stateDirectory, 'recovery')
  mkdirSync(recovery, { recursive: true })
  const config = join(stateDirectory, 'ganesha.conf')
  writeFileSync(
    config,
    `NFS_CORE_PARAM { Protocols = 4; NFS_Port = 2049; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
    NFSV4 { Graceless = true; Only_Numeric_Owners = true; RecoveryRoot = ${recovery}; }
    EXPORT { Export_Id = 1; Path = ${directory}; Pseudo = ${pseudo}; Access_Type = RW; Squash = No_Root_Squash;
      SecType = sys; Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }\n`,
  )
  const files = ['-f', config, '-L', join(stateDirectory, 'log'), '-p', join(stateDirectory, 'pid')]
  const child = spawn('ganesha.nfsd', ['-F', ...files], { stdio: 'ignore' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const isListening = (): Promise<true | undefined> =>
    new Promise((resolve) => {
      const socket = connect(2049, '127.0.0.1', () => resolve(true))
      socket.on('connect', () => socket.destroy()).on('error', () => resolve(undefined))
    })
  if (!(await poll(isListening, { everyMs: 100, deadlineMs: 60_000 }))) throw new Error('nfs-ganesha does not listen')
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
