/** Containers on a BIOS and on a UEFI machine, by the commands that a person types: docker's verbs and what they promise. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { quoteWords } from '../../src/formats/shell/quote.ts'
import type { Event } from '../../src/model/event.ts'
import { busyboxImage, describeByUmoci, layeredImage, pushImage, scratchImage } from './images.ts'
import { FIRMWARES, openSite, skip, type Site } from './site.ts'

/** Says what signals and lines it gets; ends with 5 when it is asked to stop in the image's own way. */
const SERVICE = `trap 'echo asked to stop; exit 5' USR1; trap 'echo got hup' HUP
echo started; echo a warning >&2; seq 1 5
while :; do read -r line && echo "got $line" || sleep 0.1; done`

const aroundTerminal = (argv: readonly string[]): readonly string[] => ['script', '-qec', quoteWords(argv), '/dev/null']
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

suite('containers', { skip, concurrency: 2, timeout: 1_500_000 }, () => {
  let site: Site
  let busybox: string
  const times: string[] = []

  before(async () => {
    site = await openSite({ name: 'containers' })
    busybox = `${site.registry}/bareboat/busybox:1`
    pushImage(busyboxImage(), site.registry, 'bareboat/busybox:1')
    pushImage(scratchImage(), site.registry, 'bareboat/scratch:1')
    pushImage(layeredImage(), site.registry, 'bareboat/layered:1')
    await site.ok(['pull', busybox])
  })
  after(async () => {
    for (const line of times) console.log(line)
    await site?.[Symbol.asyncDispose]()
  })

  for (const { firmware, machine } of FIRMWARES)
    suite(firmware, { concurrency: 1 }, () => {
      const name = `service-${firmware.toLowerCase()}`
      const file = (leaf: string): string => join(site.dir, `${machine}-${leaf}`)
      const run = (...argv: string[]): string[] => ['run', '--machine', machine, ...argv]
      const exec = (...argv: string[]) => site.run(['exec', name, ...argv])
      const isOff = async (): Promise<boolean> => (await site.machine(machine)).state === 'off'

      test('run: what the image says and the workload prints, exit code 0; the machine is off after it', async () => {
        const ran = await site.run(run('--rm', busybox))
        assert.equal(ran.stdout, 'hello there from sailor:crew in /srv/deck\n', ran.stderr)
        assert.equal(ran.code, 0)
        assert.ok(await isOff())
        assert.equal(await site.ok(['ps', '-aq', '--filter', `machine=${machine}`]), '')
        assert.deepEqual(site.powerCommands(machine).slice(-2), ['ipmi power-on', 'ipmi power-off'])
      })

      test('run: streams apart, ENV, USER, WORKDIR, -e, -w and the exit code 7', async () => {
        const script = 'echo out; echo err >&2; env | sort; id; pwd; exit 7'
        const ran = await site.run(run('-q', '-e', 'MORE=a b', '-w', '/tmp', '--hostname', 'ship', busybox, script))
        const env = ['EMPTY=', 'GREETING=hello there', 'HOME=/home/sailor', 'HOSTNAME=ship', 'MORE=a b', 'PATH=/bin']
        const id = 'uid=1042(sailor) gid=1043(crew) groups=1043(crew),1044(wheel)'
        const shells = ['PWD=/tmp', 'SHLVL=1']
        assert.equal(ran.stdout, `${['out', ...env, ...shells, id, '/tmp'].join('\n')}\n`)
        assert.equal(ran.stderr, 'err\n')
        assert.equal(ran.code, 7)
        const [last] = JSON.parse(await site.ok(['ps', '-l', '--json'])) as { name: string }[]
        assert.ok(last)
      })

      test('run -d, --cidfile, ps, logs, wait for it to be up', async () => {
        const cidfile = file('cid')
        const id = await site.ok(run('-d', '-i', '-u', 'root', '--name', name, '--cidfile', cidfile, busybox, SERVICE))
        assert.match(id, /^[0-9a-f]{64}$/)
        assert.equal(readFileSync(cidfile, 'utf8'), id)
        const again = await site.run(run('--cidfile', cidfile, busybox))
        assert.match(again.stderr, /Cannot write container id file .* it exists/)
        await site.untilState(name, 'running')
        assert.match(await site.ok(['ps', '-q', '--no-trunc']), new RegExp(`^${id}$`, 'm'))
        await logged(name, /5\n/)
        const logs = await site.run(['logs', name])
        assert.deepEqual([logs.stdout, logs.stderr], ['started\n1\n2\n3\n4\n5\n', 'a warning\n'])
        const { stdout, stderr } = await site.run(['logs', '--tail', '2', name])
        assert.equal(`${stdout}${stderr}`.match(/\n/g)?.length, 2)
        assert.match(await site.ok(['logs', '--console', name]), /iPXE/)
        await tellTimes(id)
      })

      test('exec: output and exit codes as docker has them', async () => {
        const echo = await exec('sh', '-c', 'echo out; echo err >&2; id -u; pwd; echo $GREETING')
        assert.deepEqual([echo.code, echo.stdout, echo.stderr], [0, 'out\n0\n/srv/deck\nhello there\n', 'err\n'])
        for (const [code, argv] of [
          [3, ['sh', '-c', 'exit 3']],
          [126, ['/etc/passwd']],
          [127, ['no-such-program']],
          [127, ['/no/such/program']],
          [137, ['sh', '-c', 'kill -9 $$']],
        ] as const)
          assert.equal((await exec(...argv)).code, code, argv.join(' '))
        const as = await site.run([
          'exec',
          '-u',
          'sailor',
          '-w',
          '/tmp',
          '-e',
          'X=1 2',
          name,
          'sh',
          '-c',
          'id -un; pwd; echo $X',
        ])
        assert.equal(as.stdout, 'sailor\n/tmp\n1 2\n')
      })

      test('exec -i: a megabyte through cat; exec -t: a terminal of the size of ours', async () => {
        const blob = randomBytes(1 << 20)
        const cat = await site.run(['exec', '-i', name, 'cat'], { input: blob })
        assert.equal(cat.code, 0, cat.stderr)
        assert.equal(sha256(cat.bytes), sha256(blob))
        const around = (argv: readonly string[]) => [
          'script',
          '-qec',
          `stty rows 31 cols 97; ${quoteWords(argv)}`,
          '/dev/null',
        ]
        const tty = await site.run(['exec', '-it', name, 'sh', '-c', 'tty; sleep 1; stty size; exit 4'], {
          isOpen: true,
          around,
        })
        assert.equal(tty.code, 4, tty.stdout)
        assert.match(tty.stdout, /\/dev\/pts\/\d+\r+\n31 97\r+\n/)
      })

      test('cp: 10 MB both ways, folders with links, and tars through -', async () => {
        const blob = randomBytes(10 << 20)
        writeFileSync(file('blob'), blob)
        await site.ok(['cp', file('blob'), `${name}:/tmp/blob`])
        assert.equal((await exec('sha256sum', '/tmp/blob')).stdout, `${sha256(blob)}  /tmp/blob\n`)
        await site.ok(['cp', `${name}:/tmp/blob`, file('blob-back')])
        assert.equal(sha256(readFileSync(file('blob-back'))), sha256(blob))

        const folder = file('folder')
        mkdirSync(folder)
        const make = `mkdir -p sub/deep; echo one >sub/file; ln sub/file sub/same; ln -s file sub/relative
          ln -s /etc/passwd sub/absolute; ln -s nowhere dangling; echo x >'a name'; chmod 750 sub/deep; chmod 4711 sub/file`
        execFileSync('sh', ['-c', make], { cwd: folder })
        const describe = `find . | sort | while read -r f; do stat -c '%n %F %a' "$f"; [ -L "$f" ] && readlink "$f" || :; done
          stat -c %h sub/file; cat sub/same`
        const wanted = execFileSync('busybox', ['sh', '-c', describe], { cwd: folder, encoding: 'utf8' })
        await site.ok(['cp', folder, `${name}:/srv/folder`])
        assert.equal((await site.run(['exec', '-w', '/srv/folder', name, 'sh', '-c', describe])).stdout, wanted)
        await site.ok(['cp', `${name}:/srv/folder`, file('folder-back')])
        const back = execFileSync('busybox', ['sh', '-c', describe], { cwd: file('folder-back'), encoding: 'utf8' })
        assert.equal(back, wanted)

        const out = await site.run(['cp', `${name}:/srv/folder/sub`, '-'])
        const list = execFileSync('tar', ['-t'], { input: out.bytes, encoding: 'utf8' })
        assert.deepEqual(
          new Set(list.trimEnd().split('\n')),
          new Set(['', 'deep/', 'file', 'same', 'relative', 'absolute'].map((leaf) => `sub/${leaf}`)),
        )
        await site.ok(['cp', '-', `${name}:/tmp`], { input: out.bytes })
        assert.equal((await exec('cat', '/tmp/sub/same')).stdout, 'one\n')

        const lost = await site.run(['cp', `${name}:/no/such`, file('none')])
        assert.notEqual(lost.code, 0)
        assert.match(lost.stderr, /\/no\/such.*no such file/i)
      })

      test('top, rename, --since, attach with stdin, kill -s', async () => {
        assert.match(await site.ok(['top', name]), /sh -c trap/)
        await site.ok(['rename', name, `${name}-2`])
        assert.match(await site.ok(['ps']), new RegExp(`${name}-2`))
        await site.ok(['rename', `${name}-2`, name])
        const since = new Date().toISOString()
        const attached = site.start(['attach', name], { isOpen: true })
        await poll(
          async () => {
            attached.write('ahoy\n')
            return attached.stdout().includes('got ahoy\n') || undefined
          },
          { everyMs: 500, deadlineMs: 120_000 },
        )
        await attached.until(/got ahoy\n/, 1000)
        await site.ok(['kill', '-s', 'HUP', name])
        await attached.until(/got hup\n/)
        attached.kill('SIGKILL')
        await attached.done
        assert.match(await site.ok(['logs', '--since', since, name]), /^(got ahoy\n)+got hup$/)
        assert.equal((await site.inspect(name)).state, 'running')
      })

      test('stop: STOPSIGNAL, its exit code to all who wait, logs -f ends, the machine is off', async () => {
        const follow = site.start(['logs', '-f', '--tail', '1', name])
        await follow.until(/got hup\n/)
        const wait = site.start(['wait', name])
        const attached = site.start(['attach', '--no-stdin', name])
        await attached.until(/./, 2000).catch(() => {})
        const startMs = performance.now()
        assert.equal(await site.ok(['stop', name]), name)
        assert.ok(performance.now() - startMs < 10_000, 'it waited for the grace period')
        assert.equal((await wait.done).stdout, '5\n')
        const followed = await follow.done
        assert.equal(followed.stdout, 'got hup\nasked to stop\n')
        assert.equal(followed.code, 0)
        assert.equal((await attached.done).code, 5)
        assert.ok(await isOff())
        assert.equal((await site.inspect(name)).exitCode, 5)
        assert.equal(site.powerCommands(machine).at(-1), 'ipmi power-off')
        assert.match((await exec('true')).stderr, /Cannot exec in container .* it is exited, not running/)
      })

      test('restart boots it again; kill ends it with 137; rm forgets it', async () => {
        await site.ok(['restart', name])
        await site.untilState(name, 'running')
        await logged(name, /asked to stop\nstarted\n(\d\n){5}/)
        assert.match((await site.run(['rm', name])).stderr, /Cannot remove container .*running/)
        await site.ok(['kill', name])
        const { state, exitCode } = await site.untilState(name, ['exited', 'failed'])
        assert.deepEqual([state, exitCode], ['exited', 137])
        assert.ok(await isOff())
        const { id } = await site.inspect(name)
        await site.ok(['rm', name])
        assert.notEqual((await site.run(['inspect', name])).code, 0)
        const actions = (await eventsOf(id)).map(({ action }) => action)
        for (const action of ['create', 'stage', 'start', 'die', 'stop', 'restart', 'rename', 'destroy'])
          assert.ok(actions.includes(action), `no ${action} among ${actions.join(' ')}`)
      })

      /** What an earlier test left behind does not stand in the way of the next one. */
      async function freeMachine(): Promise<void> {
        for (const { id } of await site.client.containers.list({ filters: [`machine=${machine}`] }))
          await site.ok(['rm', '-f', id])
      }

      test('a scratch image with one static program: exec, cp and logs need nothing in it; --rm', async () => {
        await freeMachine()
        const scratch = `${name}-scratch`
        const started = site.start(run('--rm', '-q', '--name', scratch, `${site.registry}/bareboat/scratch:1`))
        await started.until(/hello from scratch\n/)
        await started.until(/and to stderr\n/)
        await site.untilState(scratch, 'running')
        const second = await site.run(['exec', scratch, '/hello', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])
        assert.deepEqual([second.code, second.stdout, second.stderr], [7, 'hello from scratch\n', 'and to stderr\n'])
        await site.ok(['cp', `${scratch}:/hello`, file('hello')])
        assert.equal(
          execFileSync(file('hello'), ['a'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
          'hello from scratch\n',
        )
        await site.ok(['cp', file('hello'), `${scratch}:/copy`])
        assert.equal((await site.run(['exec', scratch, '/copy', 'a', 'b'])).code, 1)
        assert.match(await site.ok(['top', scratch]), /\/hello/)
        assert.equal((await site.run(['exec', scratch, 'sh'])).code, 127)
        started.kill('SIGINT')
        const { code, stdout } = await started.done
        assert.equal(stdout, 'hello from scratch\n')
        assert.equal(code, 143)
        assert.equal(await site.ok(['ps', '-aq', '--filter', `name=${scratch}`]), '')
        assert.ok(await isOff())
      })

      test('an image of layers that hide, replace and link: every path as umoci unpacks it', async () => {
        await freeMachine()
        const ran = await site.run(run('-q', '--rm', `${site.registry}/bareboat/layered:1`))
        assert.equal(ran.stdout, describeByUmoci(layeredImage()), ran.stderr)
        assert.equal(ran.code, 0)
      })

      // Nothing in these is of the firmware: on the machine that starts sooner.
      if (firmware === 'BIOS') {
        test('run -i: what stdin holds arrives, and its end', async () => {
          const blob = randomBytes(1 << 20)
          await freeMachine()
          const ran = await site.run(run('-q', '-i', '--rm', busybox, 'cat'), { input: blob })
          assert.equal(ran.code, 0, ran.stderr)
          assert.equal(sha256(ran.bytes), sha256(blob))
        })

        test('run -it: a terminal', async () => {
          await freeMachine()
          const running = site.start(
            run('-q', '-it', '--rm', busybox, 'tty; stty -echo; read -r line; echo "<$line>"; exit 9'),
            {
              isOpen: true,
              around: aroundTerminal,
            },
          )
          await running.until(/\/dev\/\S+/)
          await poll(
            () => {
              running.write('typed\n')
              return /<typed>/.test(running.stdout()) || undefined
            },
            { everyMs: 1000, deadlineMs: 120_000 },
          )
          const { code, stdout } = await running.done
          assert.match(stdout, /<typed>\r+\n/)
          assert.equal(code, 9)
        })

        test('--restart on-failure:1 boots it once more, and no more', async () => {
          await freeMachine()
          const id = await site.ok(run('-d', '--restart', 'on-failure:1', busybox, 'echo try; exit 3'))
          const { exitCode, restartCount } = await site.untilState(id, ['exited', 'failed'])
          assert.deepEqual([exitCode, restartCount], [3, 1])
          assert.equal((await site.run(['logs', id])).stdout, 'try\ntry\n')
          assert.ok(await isOff())
        })
      }

      /** Notes how long each stage of a boot took, for the end of the file. */
      async function tellTimes(id: string): Promise<void> {
        const events = await eventsOf(id)
        const [{ at: startMs }] = events as [Event]
        const stages = events.filter(({ action }) => action === 'stage')
        const words = stages.map(({ at, attributes }) => `${attributes['stage']} ${((at - startMs) / 1000).toFixed(1)}`)
        times.push(`seconds from run, ${firmware}: ${words.join(', ')}`)
      }
    })

  async function logged(name: string, pattern: RegExp): Promise<void> {
    let seen = ''
    const isThere = await poll(
      async () => {
        seen = (await site.run(['logs', name])).stdout
        return pattern.test(seen) || undefined
      },
      { everyMs: 200, deadlineMs: 120_000 },
    )
    assert.ok(isThere, `no ${pattern} in the log: ${seen}`)
  }

  async function eventsOf(containerId: string): Promise<Event[]> {
    const events: Event[] = []
    for await (const event of site.client.events({ containerId, sinceMs: 1, untilMs: Date.now() })) events.push(event)
    return events
  }
})
