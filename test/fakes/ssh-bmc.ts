/**
 * OpenSSH's server as a BMC has one: user `admin`, password `secret`, and a program that plays the serial line. Its users are files of its
 * own, bound over the system's in a mount namespace that ends with it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { once } from 'node:events'
import { poll } from '../../src/base/clock.ts'

/** How the line behaves: an echo, a shell that wants `vsp` first, output without end, one that ends at once, one that never reads. */
export type SshLine = 'echo' | 'cli' | 'flood' | 'ends' | 'deaf'

export interface SshBmc extends AsyncDisposable {
  readonly port: number
  /** As `ssh-keygen -l` prints it. */
  readonly hostKey: string
  line: SshLine
  /** Ends every session and takes no more until `start`. */
  stop(): Promise<void>
  start(): Promise<void>
}

const LINE = `mode=$(cat "$1/line")
case $mode in
  cli) printf '</>hpiLO-> '; read -r words; [ "$words" = vsp ] || { echo "unknown: $words"; exit 1; } ;;
  flood) exec head -c 400000000 /dev/zero ;;
  ends) echo 'no such host'; exit 0 ;;
esac
stty raw -echo
printf 'login: '
[ "$mode" = deaf ] && exec sleep 3600
exec cat
`

export async function startSshBmc(line: SshLine = 'echo'): Promise<SshBmc> {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-ssh-bmc-'))
  const at = (name: string): string => join(folder, name)
  mkdirSync(at('run'))
  chmodSync(folder, 0o755)
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('key')])
  const hostKey = execFileSync('ssh-keygen', ['-l', '-f', at('key.pub')], { encoding: 'utf8' }).split(' ')[1]!
  const hash = execFileSync('openssl', ['passwd', '-6', 'secret'], { encoding: 'utf8' }).trim()
  writeFileSync(
    at('passwd'),
    'root:x:0:0::/:/bin/sh\nsshd:x:101:65534::/run/sshd:/bin/false\nadmin:x:65534:65534::/:/bin/sh\n',
  )
  writeFileSync(at('shadow'), `root:*:19000::::::\nsshd:*:19000::::::\nadmin:${hash}:19000::::::\n`)
  writeFileSync(at('play'), LINE)
  writeFileSync(at('line'), line)
  const port = await freePort()
  writeFileSync(
    at('config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${at('key')}`,
      'PidFile none',
      'UsePAM no',
      'PasswordAuthentication yes',
      'KbdInteractiveAuthentication no',
      'PrintMotd no',
      'PrintLastLog no',
      `ForceCommand sh ${at('play')} ${folder}`,
      '',
    ].join('\n'),
  )
  const setUp = `mount --bind ${at('passwd')} /etc/passwd && mount --bind ${at('shadow')} /etc/shadow &&
    mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f ${at('config')}`
  let server: ChildProcess | undefined
  let said = ''
  const bmc: SshBmc = {
    port,
    hostKey,
    get line() {
      return line
    },
    set line(to) {
      line = to
      writeFileSync(at('line'), to)
    },
    async start() {
      // A group and a PID namespace of its own: sessions end with it.
      server = spawn('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', setUp], {
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      server.stderr!.on('data', (bytes: Buffer) => (said += bytes.toString()))
      const isUp = await poll(async () => (await answers(port)) || undefined, { everyMs: 50, deadlineMs: 20_000 })
      if (!isUp) throw new Error(`sshd does not listen: ${said}`)
    },
    async stop() {
      const ending = server
      server = undefined
      if (!ending || ending.exitCode !== null) return
      const ended = once(ending, 'exit')
      ending.kill('SIGKILL')
      await ended
    },
    async [Symbol.asyncDispose]() {
      await bmc.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  await bmc.start()
  return bmc
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => void server.close(() => resolve()))
  return port
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'data')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
