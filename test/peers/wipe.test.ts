/**
 * guest/lib/wipe on real block devices: loop devices over files, in a root like that of the initrd, with busybox alone. What the disks
 * are called and their serial numbers are made up; everything else is the kernel's.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, suite, test } from 'node:test'

const PROGRAMS = ['busybox', 'losetup', 'addpart', 'unshare']
const missing = PROGRAMS.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
const canLoop = missing.length === 0 && spawnSync('losetup', ['-f']).status === 0
const skip =
  missing.length > 0
    ? `not installed: ${missing.join(', ')}`
    : process.getuid?.() !== 0
      ? 'not root'
      : canLoop
        ? false
        : 'no loop devices'

const SECTOR = 512
/** Of a fast wipe, in sectors. */
const [EDGE, START] = [32_768, 2048]
const PARTITION = { from: 40_000, count: 30_000 }

suite('wipe', { skip }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-wipe-'))
  const root = join(dir, 'root')
  const loops: string[] = []
  before(() => {
    for (const folder of ['bin', 'sbin', 'lib/bareboat', 'run', 'dev', 'sys', 'proc'])
      mkdirSync(join(root, folder), { recursive: true })
    const busybox = execFileSync('sh', ['-c', 'readlink -f "$(command -v busybox)"'], { encoding: 'utf8' }).trim()
    copyFileSync(busybox, join(root, 'bin/busybox'))
    execFileSync(join(root, 'bin/busybox'), ['--install', '-s', join(root, 'bin')])
    execFileSync('sh', ['-c', `cd ${root}/bin && for a in *; do [ $a = busybox ] || ln -sf busybox $a; done`])
    for (const script of ['wipe', 'wipe-secure'])
      copyFileSync(join(import.meta.dirname, '../../guest/lib', script), join(root, 'lib/bareboat', script))
    // The agent's own root, where its programs are.
    for (const folder of ['bin', 'tools', 'dev']) mkdirSync(join(root, 'bb', folder), { recursive: true })
    copyFileSync(busybox, join(root, 'bb/bin/busybox'))
    for (const applet of ['sh', 'dd', 'cat']) symlinkSync('busybox', join(root, 'bb/bin', applet))
  })
  after(() => {
    for (const loop of loops) spawnSync('losetup', ['-d', loop])
    rmSync(dir, { recursive: true, force: true })
  })

  /** Words everywhere and one partition, on a loop device of its own. */
  function disk(sectors: number, ...options: string[]): { file: string; name: string; content: Buffer } {
    const file = join(dir, `disk-${loops.length}`)
    const content = Buffer.alloc(sectors * SECTOR, 'an old file system')
    content.fill(0, 0, SECTOR)
    content.writeUInt8(0x83, 446 + 4)
    content.writeUInt32LE(PARTITION.from, 446 + 8)
    content.writeUInt32LE(PARTITION.count, 446 + 12)
    content.write('55aa', 510, 'hex')
    writeFileSync(file, content)
    const argv = ['--show', '--partscan', ...options, '--find', file]
    const loop = execFileSync('losetup', argv, { encoding: 'utf8' }).trim()
    loops.push(loop)
    // The kernel of a test bench may know no partition tables.
    if (sectors > PARTITION.from) spawnSync('addpart', [loop, '1', String(PARTITION.from), String(PARTITION.count)])
    return { file, name: basename(loop), content }
  }

  function wipe(
    method: string,
    { bytes, serial }: { bytes: number; serial: string },
    disks: readonly { name: string; bytes: number; serial: string; transport?: string }[],
  ) {
    const lines = disks.map(
      (each) =>
        `disk\tname=${each.name}\tbytes=${each.bytes}\tserial=${each.serial}\ttransport=${each.transport ?? 'virtio'}`,
    )
    writeFileSync(join(root, 'lib/bareboat/hardware'), `#!/bin/sh\ncat <<'END'\n${lines.join('\n')}\nEND\n`, {
      mode: 0o755,
    })
    const inside = `for place in dev sys proc; do mount --rbind /$place ${root}/$place; done
      mount --rbind /dev ${root}/bb/dev
      exec chroot ${root} /bin/sh /lib/bareboat/wipe "$@"`
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-ec', inside, 'sh', method, String(bytes), serial],
      { encoding: 'utf8' },
    )
    return { status, said: stdout.trimEnd().split('\n').at(-1), stderr }
  }

  test('fast: both ends and the start of each partition are zero, and nothing else is touched', () => {
    const { file, name, content } = disk(131_072)
    const one = { name, bytes: content.length, serial: 'a serial\\n with 2 words' }
    assert.deepEqual(wipe('fast', one, [one]), {
      status: 0,
      said: 'all that was overwritten read back as zeros',
      stderr: '',
    })
    for (const [from, count] of [
      [0, EDGE],
      [PARTITION.from, START],
      [131_072 - EDGE, EDGE],
    ] as const)
      content.fill(0, from * SECTOR, (from + count) * SECTOR)
    assert.ok(readFileSync(file).equals(content))
  })

  for (const { method, sectors } of [
    { method: 'zeroes', sectors: 131_072 + 3 },
    { method: 'fast', sectors: 4096 + 1 },
  ])
    test(`${method} of ${sectors} sectors: every byte is zero`, () => {
      const { file, name, content } = disk(sectors)
      const one = { name, bytes: content.length, serial: 'S1' }
      assert.deepEqual(wipe(method, one, [{ ...one, serial: 'S10' }, one]), {
        status: 0,
        said: 'all that was overwritten read back as zeros',
        stderr: '',
      })
      assert.ok(readFileSync(file).equals(Buffer.alloc(content.length)))
    })

  test('a disk that is not there, of another size, one of two, or write-protected is refused and stays as it is', () => {
    const { file, name, content } = disk(4096)
    const locked = disk(4096, '--read-only')
    const one = { name, bytes: content.length, serial: 'S1' }
    const refused = (asked: typeof one, disks: (typeof one)[]) => {
      const { status, said } = wipe('zeroes', asked, disks)
      assert.equal(status, 1)
      return said
    }
    assert.match(refused({ ...one, serial: 'S' }, [one])!, /no disk has this serial number and size now/)
    assert.match(refused({ ...one, bytes: 512 }, [one])!, /no disk has this serial number and size now/)
    assert.match(refused({ ...one, bytes: 512 }, [{ ...one, bytes: 512 }])!, /its size is 2097152 bytes now/)
    assert.match(refused(one, [one, { ...one, name: locked.name }])!, /more than one disk has this serial number/)
    assert.match(refused({ ...one, name: locked.name }, [{ ...one, name: locked.name }])!, /it is write-protected/)
    for (const each of [file, locked.file]) assert.ok(readFileSync(each).equals(content))
  })

  test('a disk that is mounted is refused', () => {
    const { file, name, content } = disk(4096)
    execFileSync('busybox', ['mke2fs', '-F', `/dev/${name}`], { stdio: 'ignore' })
    const before = readFileSync(file)
    const place = join(dir, 'mounted')
    mkdirSync(place)
    execFileSync('mount', ['-t', 'ext2', '-o', 'ro', `/dev/${name}`, place])
    try {
      const one = { name, bytes: content.length, serial: 'S1' }
      assert.equal(wipe('fast', one, [one]).said, 'it is in use')
      assert.ok(readFileSync(file).equals(before))
    } finally {
      execFileSync('umount', [place])
    }
  })

  /** A program of the agent that notes what it is asked, answers what a disk says of itself, and erases with `erase`. */
  function standIn(name: string, says: string, erase: string): { asked(): string[] } {
    const path = join(root, 'bb/tools', name)
    const noted = join(root, 'bb/asked')
    rmSync(noted, { force: true })
    writeFileSync(join(root, 'bb/says'), says)
    const script = `#!/bin/sh
      echo "$*" >>/asked
      for last; do :; done
      case "$*" in
        -I* | id-ctrl*) cat /says ;;
        *--security-erase* | format*) ${erase} ;;
      esac`
    writeFileSync(path, script, { mode: 0o755 })
    return { asked: () => readFileSync(noted, 'utf8').trimEnd().split('\n') }
  }
  const fill = (word: string) =>
    `/bin/busybox yes ${word} | dd of="$last" bs=1048576 count=2097152 iflag=count_bytes,fullblock 2>/dev/null`
  const ZEROS = 'dd if=/dev/zero of="$last" bs=1048576 count=2 2>/dev/null'
  /** hdparm 9.65 -I of a SATA disk, its part on security. */
  const ataSecurity = (...words: string[]) =>
    `\nATA device, with non-removable media\nSecurity: \n\tMaster password revision code = 65534\n${words.map((word) => `\t${word}\n`).join('')}\t2min for SECURITY ERASE UNIT.\nChecksum: correct\n`
  const GOOD = ['\tsupported', 'not\tenabled', 'not\tlocked', 'not\tfrozen', 'not\texpired: security count']

  test('secure-erase of a SATA disk: a password is set, the disk erases itself, and is read back', () => {
    const { file, name, content } = disk(4096)
    const one = { name, bytes: content.length, serial: 'S1', transport: 'sata' }
    const hdparm = standIn('hdparm', ataSecurity(...GOOD, '\tsupported: enhanced erase'), ZEROS)
    assert.deepEqual(wipe('secure-erase', one, [one]), {
      status: 0,
      said: 'the whole disk read back as zeros',
      stderr: '',
    })
    assert.deepEqual(hdparm.asked(), [
      `-I /dev/${name}`,
      `--user-master u --security-set-pass bareboat /dev/${name}`,
      `--user-master u --security-erase-enhanced bareboat /dev/${name}`,
    ])
    assert.ok(readFileSync(file).equals(Buffer.alloc(content.length)))
  })

  for (const { name: what, words, said } of [
    { name: 'offers none', words: ['not\tsupported'], said: /does not offer to erase itself \(ATA Security\)/ },
    {
      name: 'is frozen',
      words: ['\tsupported', 'not\tenabled', '\tfrozen'],
      said: /firmware of the machine has frozen/,
    },
    { name: 'has a password', words: ['\tsupported', '\tenabled', 'not\tfrozen'], said: /somebody has set/ },
  ])
    test(`secure-erase of a SATA disk that ${what} is refused, and nothing is asked of it`, () => {
      const { file, name, content } = disk(4096)
      const one = { name, bytes: content.length, serial: 'S1', transport: 'sata' }
      const hdparm = standIn('hdparm', ataSecurity(...words), ZEROS)
      const ran = wipe('secure-erase', one, [one])
      assert.equal(ran.status, 1)
      assert.match(ran.said!, said)
      assert.deepEqual(hdparm.asked(), [`-I /dev/${name}`])
      assert.ok(readFileSync(file).equals(content))
    })

  test('secure-erase of an NVMe disk: what it offers is read first; what changed its key is told apart from zeros', () => {
    const { name, content } = disk(4096)
    const one = { name, bytes: content.length, serial: 'S1', transport: 'nvme' }
    standIn('nvme', 'oacs      : 0\nfna       : 0\n', ZEROS)
    assert.match(wipe('secure-erase', one, [one]).said!, /does not offer to erase itself \(NVMe Format NVM\)/)
    const nvme = standIn(
      'nvme',
      'oacs      : 0x2\nfna       : 0x4\n',
      fill('garbage').replace('"$last"', `/dev/${name}`),
    )
    assert.match(wipe('secure-erase', one, [one]).said!, /^the whole disk read back as something else than before/)
    assert.equal(nvme.asked().at(-1), `format /dev/${name} --ses=1 --force`)
  })

  test('secure-erase: a disk that says that it is done, and is not, is found out', () => {
    const { name, content } = disk(4096)
    const one = { name, bytes: content.length, serial: 'S1', transport: 'nvme' }
    standIn('nvme', 'oacs      : 0x2\nfna       : 0\n', ':')
    const ran = wipe('secure-erase', one, [one])
    assert.deepEqual([ran.status, ran.said], [1, 'it said that it erased itself, and what was there is still there'])
  })

  test('secure-erase of a disk of another kind that offers nothing is refused', () => {
    const { file, name, content } = disk(4096)
    const one = { name, bytes: content.length, serial: 'S1' }
    const ran = wipe('secure-erase', one, [one])
    assert.equal(ran.status, 1)
    assert.match(ran.said!, /^it does not offer to erase itself \(secure discard: /)
    assert.ok(readFileSync(file).equals(content))
  })
})
