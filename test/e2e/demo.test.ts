/** `bareboat demo` as a newcomer uses it: what it says, each command that it offers, and that nothing is left of it. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { buildGuestKit } from '../fakes/guest-kit.ts'
import { startCommand, type CommandOptions } from './command-line.ts'
import { skip } from './site.ts'

const CHECKOUT = join(import.meta.dirname, '../..')

suite('demo', { skip, concurrency: 1, timeout: 1_200_000 }, () => {
  const state = mkdtempSync(join(tmpdir(), 'bareboat-e2e-demo-'))
  const env = { XDG_STATE_HOME: state }
  before(buildGuestKit)
  after(async () => {
    await startCommand(['demo', '--down'], { env }).done
    rmSync(state, { recursive: true })
  })

  function commandLine(pid: string): string {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
    } catch {
      return 'it has ended meanwhile'
    }
  }

  /** Processes that have anything of this demo on their command line, and what is on the disk. */
  function left(): string[] {
    const lines = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(commandLine)
      .filter((line) => line.includes(state))
    const dir = join(state, 'bareboat')
    return [...lines, ...(existsSync(dir) ? readdirSync(dir) : [])]
  }

  /** A line as a person types it at the root of the checkout. */
  const typed = (line: string, options: CommandOptions) =>
    startCommand([], { ...options, around: () => ['sh', '-c', `cd "$0" && ${line}`, CHECKOUT] }).done

  test('both images run, each command that it offers does what it says, and demo --down leaves nothing', async () => {
    const { code, stdout, stderr } = await startCommand(['demo', '--keep'], { env, deadlineMs: 600_000 }).done
    assert.equal(code, 0, stdout + stderr)
    for (const name of ['hello-bios', 'hello-uefi'])
      assert.match(stdout, new RegExp(`${name}: hello from [0-9a-f]{12}, Linux 6\\.`))
    const [first, ...offered] = stdout
      .slice(stdout.indexOf('Try next:'))
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.trim())
    const host = /^export (BAREBOAT_HOST)=(unix:.*)$/.exec(first!)!
    const there = { ...env, [host[1]!]: host[2]! }
    const said: Record<string, RegExp> = {
      './bareboat ps': /hello-bios\n[^]*hello-uefi\n|hello-uefi\n[^]*hello-bios\n/,
      './bareboat logs hello-bios': /^hello from /,
      './bareboat exec -it hello-uefi sh': /a terminal of its own/,
      './bareboat cp /etc/hostname hello-bios:/tmp/': /^$/,
      './bareboat logs --console hello-uefi': /Bareboat: rack-2 boots container hello-uefi [^]*bareboat: starting sh/,
      './bareboat stop hello-bios': /^hello-bios\n$/,
      "./bareboat run --rm --machine rack-1 localhost/demo/busybox:latest sh -c 'exit 7'; echo $?": /7\n$/,
      './bareboat demo --down': /^$/,
    }
    assert.deepEqual(offered, Object.keys(said))
    for (const line of offered) {
      const isTerminal = line.includes(' -it ')
      const ran = isTerminal
        ? await typed(`script -qec '${line}' /dev/null`, {
            env: there,
            input: Buffer.from('test -t 0 && echo a terminal of"" its own; exit 5\n'),
          })
        : await typed(line, { env: there })
      assert.equal(ran.code, isTerminal ? 5 : 0, `${line}: ${ran.stdout}${ran.stderr}`)
      assert.match(ran.stdout, said[line]!, line)
    }
    assert.deepEqual(left(), [])
  })

  test('Ctrl-C while machines boot leaves nothing', async () => {
    const running = startCommand(['demo'], { env, deadlineMs: 300_000 })
    await running.until(/rack-1 +power-on\n/, 200_000)
    running.kill('SIGINT')
    const { code, stderr } = await running.done
    assert.deepEqual([code, stderr], [130, 'bareboat: the demo was interrupted\n'])
    assert.deepEqual(left(), [])
  })
})
